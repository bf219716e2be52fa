"""Room for vectors: in memory while they are small, else in files that no name leads to.

What the aggregator stages there is masked, or the sum that it is entitled to.
"""

from __future__ import annotations

import tempfile

import numpy as np

from atoll.operators.secure_sum.masked.masks import Ring

IN_MEMORY = 1 << 26


def room(size: int, bits: int, in_memory: int = IN_MEMORY) -> Ring:
    """Return zeros, uint32 or uint64[size]; above ``in_memory`` bytes they lie in a file.

    The file is gone when the array is; its pages are the system's to write out.
    """
    kind = np.dtype(f"<u{bits // 8}")
    if size * kind.itemsize <= in_memory:
        return np.zeros(size, kind)
    with tempfile.TemporaryFile() as file:
        file.truncate(size * kind.itemsize)
        return np.memmap(file, dtype=kind, mode="r+", shape=(size,))
