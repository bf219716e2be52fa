"""What the parties of a boosting run send each other, beside the histogram's own messages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.core.limits import MESSAGE_BYTES
from atoll.core.message import Message, array, blob, boolean, integer

MOST_TREES = 1 << 16
MOST_NODES = 1 << 12
MOST_CANDIDATES = 1 << 24
_BITS = MESSAGE_BYTES - (1 << 20)
_TREE = "the number of the tree, known to all"
_DEPTH = "the depth within the tree, known to all"


@dataclass(frozen=True)
class Start(Message, kind="boosting.start"):
    """Guest to host: what the parties must agree on before they begin."""

    rows: int = integer(1, 1 << 31, opaque="the number of aligned rows, known to all")
    validation_rows: int = integer(0, 1 << 31, opaque="the same for the validation rows")
    parameters: bytes = blob(32, opaque="a hash of the parameters in the signed plan")


@dataclass(frozen=True)
class TreeStart(Message, kind="boosting.tree"):
    """Guest to host: a tree begins, or (``more`` false) the run ends with ``kept`` trees."""

    tree: int = integer(0, MOST_TREES, opaque=_TREE)
    more: bool = boolean(reveals="whether another tree follows (early stopping)")
    kept: int = integer(0, MOST_TREES, reveals="how many trees the model keeps (early stopping)")


@dataclass(frozen=True)
class CandidateCuts(Message, kind="boosting.candidate_cuts"):
    """Host to guest: for each node to be summed, which of its parent's cuts are sent.

    One byte, 0 or 1, for each cut that was sent of the parent (root: each cut that there is).
    """

    tree: int = integer(0, MOST_TREES, opaque=_TREE)
    depth: int = integer(0, 64, opaque=_DEPTH)
    sent: npt.NDArray[np.uint8] = array(
        "u1",
        (None,),
        MOST_CANDIDATES,
        reveals="which of the host's permuted candidate cuts it withholds in each node",
    )


@dataclass(frozen=True)
class Order(Message, kind="boosting.order"):
    """Guest to host: announce the left rows of these cuts, or (``settled``) the level's outcome.

    A settled order asks for nothing. It states which announced partitions were adopted, in the
    order in which they were asked for, and which nodes have their children summed next;
    ``partition`` divides those among these nodes whose split is not this host's own.
    """

    tree: int = integer(0, MOST_TREES, opaque=_TREE)
    depth: int = integer(0, 64, opaque=_DEPTH)
    settled: bool = boolean(opaque="which of the two forms this is; the other fields reveal it")
    ask_nodes: npt.NDArray[np.uint32] = array(
        "u4",
        (None,),
        MOST_NODES,
        reveals="which nodes the host's cuts split best: the tree's shape",
    )
    ask_candidates: npt.NDArray[np.uint32] = array(
        "u4", (None,), MOST_NODES, reveals="which of the host's cuts split these nodes best"
    )
    accepted: npt.NDArray[np.uint8] = array(
        "u1", (None,), 8 * MOST_NODES, reveals="which announced partitions the guest adopts"
    )
    grown: npt.NDArray[np.uint32] = array(
        "u4", (None,), MOST_NODES, reveals="which nodes are split and grow on: the tree's shape"
    )
    partition: bytes = blob(
        _BITS,
        low=0,
        reveals="which rows of each node go left where another party's split is used (bytes)",
    )


@dataclass(frozen=True)
class Left(Message, kind="boosting.left"):
    """Host to guest: which rows of each node go left by the cut that was asked for."""

    tree: int = integer(0, MOST_TREES, opaque=_TREE)
    depth: int = integer(0, 64, opaque=_DEPTH)
    partition: bytes = blob(
        _BITS,
        low=0,
        reveals="which rows of the node go left by a cut of the host's, adopted or refused (bytes)",
    )


@dataclass(frozen=True)
class Validation(Message, kind="boosting.validation"):
    """Host to guest: comparison bits of its splits of one tree for the validation rows."""

    tree: int = integer(0, MOST_TREES, opaque=_TREE)
    bits: bytes = blob(
        _BITS,
        low=0,
        reveals="on which side of the host's new splits each validation row falls (bytes)",
    )
