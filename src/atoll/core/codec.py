"""The canonical codec: a strict subset of msgpack in which equal values have equal bytes.

Maps have text keys in sorted order, integers their shortest form; floats are IEEE doubles and
never keys; no extension types. Decoding refuses every other form, so a signature or hash over the
bytes is one over the value.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgpack

from atoll.core.errors import PeerError
from atoll.core.limits import MESSAGE_BYTES

_DEPTH = 32


_SIMPLE = frozenset({type(None), bool, int, float, str, bytes, memoryview})


def _sorted(value: Any, depth: int = 0) -> Any:
    """Return a value with its maps in order; by exact types first, for nearly all values are."""
    kind = type(value)
    if kind in _SIMPLE:
        return value
    if isinstance(value, dict):
        inner = _inner(value, depth)
        for key in value:
            if type(key) is not str:
                raise TypeError("map keys must be text")
        return {
            key: item if type(item := value[key]) in _SIMPLE else _sorted(item, inner)
            for key in sorted(value)
        }
    if isinstance(value, (list, tuple)):
        inner = _inner(value, depth)
        return [item if type(item) in _SIMPLE else _sorted(item, inner) for item in value]
    if isinstance(value, (bool, int, float, str, bytes)):
        return value
    raise TypeError(f"{kind.__name__} has no canonical form")


def _inner(value: Any, depth: int) -> int:
    if value and depth >= _DEPTH:
        raise TypeError("nested too deeply")
    return depth + 1


def encode(value: Any) -> bytes:
    """Return the canonical bytes of None, bool, int (64 bits), float, str, bytes, list and dict.

    Errors: TypeError for any other type, OverflowError for integers beyond 64 bits.
    """
    packed: bytes = msgpack.packb(_sorted(value), use_bin_type=True)
    return packed


def decode(data: bytes | memoryview, *, limit: int = MESSAGE_BYTES) -> Any:
    """Return the value of canonical bytes.

    Errors: ATL-COD-001 if longer than ``limit``, malformed or not canonical.
    """
    if len(data) > limit:
        raise PeerError("ATL-COD-001", "the message is longer than its limit")
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True, max_ext_len=0)
        again = encode(value)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException, RecursionError) as error:
        raise PeerError("ATL-COD-001", "the message is not canonical msgpack") from error
    if again != bytes(data):
        raise PeerError("ATL-COD-001", "the message is not in canonical form")
    return value


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical bytes, in hexadecimal."""
    return hashlib.sha256(encode(value)).hexdigest()
