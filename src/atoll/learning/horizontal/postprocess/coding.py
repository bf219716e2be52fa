"""Small whole numbers in as few bits as they need: how codes and positions lie in bytes.

The highest bit of each number comes first and the last byte is filled with zeros, so that each
sequence of numbers has one form.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atoll.learning.horizontal.postprocess.api import Bytes

Whole = npt.NDArray[np.unsignedinteger]
_PIECE = 1 << 16


def packed_bytes(count: int, width: int) -> int:
    """Return how many bytes ``count`` numbers of ``width`` bits take."""
    return -(-count * width // 8)


def pack(numbers: Whole, width: int) -> Bytes:
    """Return uint8[packed_bytes(n, width)] of numbers[n] below 2^width, width 1 to 32."""
    if width == 8:
        return numbers.astype(np.uint8)
    made = np.empty(packed_bytes(len(numbers), width), np.uint8)
    # Bits are spread out a piece at a time; a whole number of bytes each.
    for first in range(0, len(numbers), _PIECE):
        bits = _bits(numbers[first : first + _PIECE], width)
        part = np.packbits(bits)
        start = first * width // 8
        made[start : start + len(part)] = part
    return made


def unpack(data: Bytes, count: int, width: int) -> npt.NDArray[np.uint32]:
    """Return uint32[count] of what ``pack`` wrote.

    Errors: ValueError for another length, or bits behind the last number.
    """
    if data.shape != (packed_bytes(count, width),):
        raise ValueError("another number of bytes")
    if count * width % 8 and int(data[-1]) & ((1 << (8 - count * width % 8)) - 1):
        raise ValueError("bits behind the last number")
    if width == 8:
        return data.astype(np.uint32)
    numbers = np.empty(count, np.uint32)
    for first in range(0, count, _PIECE):
        some = min(_PIECE, count - first)
        start = first * width // 8
        part = data[start : start + packed_bytes(some, width)]
        bits = np.unpackbits(part, count=some * width).reshape(some, width)
        wide = np.zeros((some, 32), np.uint8)
        wide[:, 32 - width :] = bits
        numbers[first : first + some] = np.packbits(wide, axis=1).view(">u4")[:, 0]
    return numbers


def _bits(numbers: Whole, width: int) -> Bytes:
    wide = numbers.astype(">u4").view(np.uint8).reshape(len(numbers), 4)
    return np.unpackbits(wide, axis=1)[:, 32 - width :]
