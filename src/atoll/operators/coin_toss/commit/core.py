"""The steps of the coin toss: no channel, no clock, randomness handed in.

Source: Blum 1983 (coin flipping by commitment), with SHA-256 as the commitment, bound to the
session id and to the party.
"""

from __future__ import annotations

import functools
import hashlib
import hmac

from atoll.core.codec import encode
from atoll.core.errors import PeerError
from atoll.operators.coin_toss.api import SEED_BYTES
from atoll.operators.coin_toss.commit.messages import Commitment, Opening


class Toss:
    """One party's state. ``entropy`` is 64 secret bytes: its value and what hides it."""

    def __init__(self, session: bytes, name: str, entropy: bytes) -> None:
        self._session = session
        self._name = name
        self._value, self._opening = entropy[:SEED_BYTES], entropy[SEED_BYTES:]
        self._commitments = {name: self._digest(name, self._value, self._opening)}
        self._values = {name: self._value}

    def _digest(self, name: str, value: bytes, opening: bytes) -> bytes:
        bound = ["atoll/coin-toss/v1", "commitment", self._session, name, value, opening]
        return hashlib.sha256(encode(bound)).digest()

    @functools.cached_property
    def _seen(self) -> bytes:
        # Asked for once all commitments are there.
        whole = ["atoll/coin-toss/v1", "seen", self._session, self._commitments]
        return hashlib.sha256(encode(whole)).digest()

    def commit(self) -> Commitment:
        """Return the commitment to this party's value. Reveals: nothing."""
        return Commitment(self._commitments[self._name])

    def committed(self, sender: str, message: Commitment) -> None:
        """Keep another party's commitment."""
        self._commitments[sender] = message.digest

    def open(self) -> Opening:
        """Open the value; only after every commitment is there. Reveals: the value."""
        return Opening(self._value, self._opening, self._seen)

    def opened(self, sender: str, message: Opening) -> None:
        """Check another party's opening. Errors: ATL-TOS-001, ATL-TOS-002."""
        digest = self._digest(sender, message.value, message.opening)
        if not hmac.compare_digest(digest, self._commitments[sender]):
            raise PeerError("ATL-TOS-001", "a value was opened that was not committed to")
        if not hmac.compare_digest(message.seen, self._seen):
            raise PeerError("ATL-TOS-002", "the parties saw different commitments")
        self._values[sender] = message.value

    def seed(self) -> bytes:
        """Return the 32-byte seed of all values."""
        whole = ["atoll/coin-toss/v1", "seed", self._session, self._values]
        return hashlib.sha256(encode(whole)).digest()
