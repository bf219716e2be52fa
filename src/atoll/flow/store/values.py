"""Which values all databases take alike, so that none refuses what another took."""

from __future__ import annotations

import math

from atoll.core.errors import UserError

_INT64 = 1 << 63


def unfit(value: object, length: int | None = None) -> str | None:
    """Return what is wrong with a value, or nothing; ``length`` bounds texts, in characters."""
    if isinstance(value, str):
        if length is not None and len(value) > length:
            return f"is longer than {length} characters"
        if "\0" in value or not _encodable(value):
            return "has characters that no text may have"
    elif isinstance(value, float) and not math.isfinite(value):
        return "is no finite number"
    elif isinstance(value, int) and not -_INT64 <= value < _INT64:
        return "does not fit 64 bits"
    return None


def _encodable(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def refused(place: str, fault: str) -> UserError:
    """Return the error for a value that does not fit. Errors: ATL-STO-011."""
    return UserError("ATL-STO-011", f"a value {fault}", place=place)
