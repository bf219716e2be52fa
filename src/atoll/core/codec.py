"""The canonical codec: a strict subset of msgpack in which equal values have equal bytes.

Maps have text keys in sorted order, integers their shortest form; floats are IEEE doubles and
never keys; no extension types. Decoding refuses every other form, so a signature or hash over the
bytes is one over the value.

The native core judges the bytes first, in one pass that builds nothing: their form, their depth,
and what their objects would take (docs/decisions/0032).
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgpack
from atoll_native import NativeError, check_json, check_msgpack

from atoll.core.errors import PeerError
from atoll.core.limits import MESSAGE_BYTES

# With the bytes themselves, a value never takes more than four times what was sent.
FACTOR = 3
ALLOWANCE = 64 << 10
_DEPTH = 32
_ANY = (1 << 64) - 1


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


def decode(
    data: bytes | memoryview, *, limit: int = MESSAGE_BYTES, memory: int | None = None
) -> Any:
    """Return the value of canonical bytes.

    ``memory`` is how many bytes its objects may take: three times the data and 64 KiB where nothing
    is said. A document of many small fields needs ``document_memory`` of its limit.

    Errors: ATL-COD-001 longer than ``limit``, malformed, not canonical, or more structure than
    ``memory`` allows; nothing was built by then.
    """
    if len(data) > limit:
        raise PeerError("ATL-COD-001", "the message is longer than its limit")
    try:
        check_msgpack(data, FACTOR * len(data) + ALLOWANCE if memory is None else memory)
    except NativeError as error:
        raise PeerError("ATL-COD-001", f"the message is refused: {error}") from error
    return msgpack.unpackb(data, raw=False, strict_map_key=True, max_ext_len=0)


def weight(data: bytes | memoryview) -> int:
    """Return what canonical bytes and the objects of their value take in memory: an upper bound.

    Errors: ATL-COD-001 malformed or not canonical.
    """
    try:
        return len(data) + check_msgpack(data, _ANY)
    except NativeError as error:
        raise PeerError("ATL-COD-001", f"the message is refused: {error}") from error


def judge_json(data: bytes, *, depth: int, memory: int) -> None:
    """Refuse JSON that is not UTF-8, nests deeper, or whose reading would take more memory.

    Whether it is JSON at all is for the reader to say. Errors: ATL-COD-001.
    """
    try:
        check_json(data, depth, memory)
    except NativeError as error:
        raise PeerError("ATL-COD-001", f"the JSON is refused: {error}") from error


def document_memory(limit: int) -> int:
    """Return what the objects of a document may take whose entrance takes ``limit`` bytes.

    Bounded by the limit and not by the document's own length: small fields cost tenfold.
    """
    return FACTOR * limit + ALLOWANCE


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical bytes, in hexadecimal."""
    return hashlib.sha256(encode(value)).hexdigest()
