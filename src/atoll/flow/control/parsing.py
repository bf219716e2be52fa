"""Reads plain values of peers field by field: sizes first, no unknown fields, one error code."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from atoll.core import codec
from atoll.core.errors import AtollError, PeerError

CODE_FORM = re.compile(r"ATL-[A-Z]{3}-[0-9]{3}")
JOB_ID = re.compile(r"[0-9]{14}-[0-9a-f]{8}")
VERSIONS = 1 << 53
ELEMENTS = 1 << 18
PHASE_LETTERS = 128

T = TypeVar("T")


def malformed(reason: str, party: str | None = None) -> PeerError:
    """Return the error for facts that are none."""
    return PeerError(
        "ATL-FLW-001", f"what a party tells of a job has another form: {reason}", party=party
    )


def peer_code(code: str | None) -> str | None:
    """Return an own code as peers may be told it: one of another form is our fault."""
    return code if code is None or CODE_FORM.fullmatch(code) else "ATL-INT-001"


def peer_phase(phase: str | None) -> str | None:
    """Return an own phase as peers may be told it: not empty, and not too long."""
    return phase[:PHASE_LETTERS] if phase else None


def decoded(data: bytes, limit: int) -> Any:
    """Decode canonical bytes of a peer. Errors: ATL-FLW-001 too large, too many, not canonical."""
    if len(data) > limit:
        raise malformed("it is longer than its limit")
    # A byte can become an object of a hundred: count before anything is made of them.
    if len(data) > ELEMENTS and elements(data, ELEMENTS) > ELEMENTS:
        raise malformed("it has too many elements")
    try:
        return codec.decode(data, limit=limit)
    except AtollError as error:
        raise malformed("it is not canonical") from error


_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_LARGE = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}


def elements(data: bytes, limit: int) -> int:
    """Count the values in msgpack bytes, at most ``limit + 1`` of them; nothing is allocated."""
    at, count = 0, 0
    while at < len(data) and count <= limit:
        first = data[at]
        at += 1
        count += 1
        if 0xA0 <= first <= 0xBF:
            at += first & 0x1F
        elif first in _FIXED:
            at += _FIXED[first]
        elif first in _SIZED:
            width = _SIZED[first]
            at += width + int.from_bytes(data[at : at + width], "big")
        elif first in _LARGE:
            at += _LARGE[first]
    return count


class Reader:
    """The fields of one map; ``done`` refuses those that nobody asked for."""

    def __init__(self, value: Any, what: str) -> None:
        if type(value) is not dict:
            raise malformed(f"{what} is no map")
        self._left: dict[str, Any] = dict(value)
        self._what = what

    def _take(self, name: str) -> Any:
        if name not in self._left:
            raise malformed(f"{self._what} has no {name}")
        return self._left.pop(name)

    def has(self, name: str) -> bool:
        """Return whether a field is there and was not read yet."""
        return name in self._left

    def text(self, name: str, limit: int, low: int = 1) -> str:
        """Read a text of ``low`` to ``limit`` characters."""
        value = self._take(name)
        if type(value) is not str or not low <= len(value) <= limit:
            raise self.wrong(name)
        return value

    def match(self, name: str, form: re.Pattern[str]) -> str:
        """Read a text of a form."""
        value = self.text(name, 256)
        if not form.fullmatch(value):
            raise self.wrong(name)
        return value

    def one_of(self, name: str, allowed: frozenset[str]) -> str:
        """Read one of some words."""
        value = self._take(name)
        if type(value) is not str or value not in allowed:
            raise self.wrong(name)
        return value

    def whole(self, name: str, low: int = 0, high: int = VERSIONS) -> int:
        """Read an integer between bounds, both included."""
        value = self._take(name)
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(name)
        return value

    def number(self, name: str, low: float, high: float) -> float:
        """Read a float or integer between bounds; NaN is refused."""
        value = self._take(name)
        if type(value) not in (float, int) or not low <= value <= high:
            raise self.wrong(name)
        return float(value)

    def flag(self, name: str) -> bool:
        """Read a truth value."""
        value = self._take(name)
        if type(value) is not bool:
            raise self.wrong(name)
        return value

    def blob(self, name: str, limit: int, low: int = 1) -> bytes:
        """Read bytes of ``low`` to ``limit``."""
        value = self._take(name)
        if type(value) is not bytes or not low <= len(value) <= limit:
            raise self.wrong(name)
        return value

    def items(self, name: str, limit: int) -> list[Any]:
        """Read a list of at most ``limit`` entries."""
        value = self._take(name)
        if type(value) is not list or len(value) > limit:
            raise self.wrong(name)
        return value

    def mapping(self, name: str, limit: int) -> dict[str, Any]:
        """Read a map of at most ``limit`` entries."""
        value = self._take(name)
        if type(value) is not dict or len(value) > limit:
            raise self.wrong(name)
        return value

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """Read a field that may be absent."""
        return read(name) if name in self._left else None

    def wrong(self, name: str) -> PeerError:
        """Return the error for a field."""
        return malformed(f"{self._what}.{name}")

    def done(self) -> None:
        """Refuse fields that were not read."""
        if self._left:
            raise malformed(f"{self._what} has unknown fields")
