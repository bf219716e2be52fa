"""What the parties of an EC-ElGamal histogram send each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.core.message import Message, array, blob, integer
from atoll.operators.histogram.api import CELL_BYTES, CHUNK_CELLS, CHUNK_ROWS


@dataclass(frozen=True)
class Key(Message, kind="histogram.elgamal.key"):
    """The guest's public key of this run."""

    session: bytes = blob(32, opaque="the session id, known to all")
    public: bytes = blob(128, opaque="a fresh public key")


@dataclass(frozen=True)
class Rows(Message, kind="histogram.elgamal.rows"):
    """A chunk of a tree's encrypted (g, h)."""

    tree: int = integer(0, 1 << 40, opaque="the number of the tree, known to all")
    first: int = integer(0, 1 << 40, opaque="a position, known to all")
    cells: npt.NDArray[np.uint8] = array(
        "u1",
        (None, CELL_BYTES),
        CHUNK_ROWS * CELL_BYTES,
        opaque="encrypted under a key that only the guest holds",
    )


@dataclass(frozen=True)
class Cells(Message, kind="histogram.elgamal.cells"):
    """A chunk of a reply's encrypted left sums, each re-randomised."""

    cells: npt.NDArray[np.uint8] = array(
        "u1",
        (None, CELL_BYTES),
        CHUNK_CELLS * CELL_BYTES,
        reveals="the left sums of g and h of each cut that the host sends (bytes of ciphertext)",
    )
