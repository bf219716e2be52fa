"""Passwords: argon2id with the parameters of RFC 9106's second recommendation.

Three passes over 64 MiB in four lanes, 16 bytes of salt: what argon2-cffi has by default. Only so
many are worked out at once, since each takes its memory.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.flow.access.errors import ThrottledError

LEAST = 12
LONGEST_BYTES = 1024
_DISTINCT = 5
_TURN_SECONDS = 10.0
# Without letters and digits that are mistaken for each other; 32 of them, 5 bits each.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP = 4, 5


class Passwords:
    """Makes and checks password hashes. The parameters are argon2's; tests take cheap ones.

    Errors: ATL-ACC-004 if too many are asked for at the same time.
    """

    def __init__(
        self,
        *,
        time_cost: int = 3,
        memory_kib: int = 64 << 10,
        parallelism: int = 4,
        at_once: int = 2,
        random: SecretRandom | None = None,
    ) -> None:
        self._hasher = PasswordHasher(
            time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism, type=Type.ID
        )
        self._gate = threading.BoundedSemaphore(at_once)
        self._random = random or SecretRandom()
        self._decoy: str | None = None

    def hash(self, password: str) -> str:
        """Return the salted hash that is stored."""
        with self._turn():
            return self._hasher.hash(_bytes(password))

    def verify(self, stored: str | None, password: str) -> bool:
        """Return whether a password is right; for ``stored`` None (no user) it takes as long."""
        with self._turn():
            if self._decoy is None:
                self._decoy = self._hasher.hash(self._random.bytes(32))
            if len(password) > LONGEST_BYTES:
                password = ""
            try:
                right = self._hasher.verify(stored or self._decoy, _bytes(password))
            except (VerificationError, InvalidHashError):
                return False
        return right and stored is not None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for one of the few places; a flood of logins must not hold every thread for long."""
        if not self._gate.acquire(timeout=_TURN_SECONDS):
            raise ThrottledError(
                "ATL-ACC-004", "too many logins at the same time", retry_after=_TURN_SECONDS
            )
        try:
            yield
        finally:
            self._gate.release()

    def outdated(self, stored: str) -> bool:
        """Return whether a hash has other parameters than the present ones."""
        return self._hasher.check_needs_rehash(stored)

    def generate(self) -> str:
        """Return a new password of 100 random bits, in groups that can be read out."""
        letters = "".join(_ALPHABET[byte & 31] for byte in self._random.bytes(_GROUPS * _GROUP))
        return "-".join(letters[i : i + _GROUP] for i in range(0, len(letters), _GROUP))


def _bytes(password: str) -> bytes:
    # The same characters may come composed or not, by the keyboard.
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def check_rules(password: str, user: str) -> None:
    """Refuse a password that is easy to guess. Errors: ATL-ACC-005."""
    reason = None
    if len(password) < LEAST:
        reason = f"it has fewer than {LEAST} characters"
    elif len(_bytes(password)) > LONGEST_BYTES:
        reason = f"it has more than {LONGEST_BYTES} bytes"
    elif len(set(password)) < _DISTINCT:
        reason = f"it has fewer than {_DISTINCT} different characters"
    elif user.lower() in password.lower():
        reason = "it contains the user's name"
    if reason:
        raise UserError(
            "ATL-ACC-005",
            f"the password cannot be used: {reason}",
            place="password",
            hint="three or four random words are easy to remember; or let one be generated",
        )
