"""Vertical boosting: inputs, outputs, what each party learns, what it costs.

Federated mode (SecureBoost's): the guest holds the labels, any number of hosts hold further
columns of the same rows. It is fast and reveals much; ``REVEALS`` states what, ``plan_warnings``
what that is worth to an attacker.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, UserError
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.core.reveal import Reveal
from atoll.core.work import Rate
from atoll.learning.vertical.boosting import messages
from atoll.models.boosting import Part
from atoll.models.columns import match_columns
from atoll.operators import histogram
from atoll.operators.cost import Cost, Edge
from atoll.operators.histogram.api import CHUNK_CELLS, CHUNK_ROWS

Floats = npt.NDArray[np.float64]
Observed = dict[str, dict[str, int | list[int]]]


@dataclass(frozen=True)
class BoostingInputs:
    """One party's rows, aligned with the other parties' row by row.

    ``features`` is float64[rows, columns] with NaN for missing; ``label`` float64[rows] of 0 and 1
    at the guest, None at hosts; ``validation`` holds further rows for early stopping, whose columns
    are found by their names.
    """

    features: Floats
    names: tuple[str, ...]
    label: Floats | None = None
    validation: BoostingInputs | None = None


@dataclass(frozen=True)
class TreeRecord:
    """One tree: its losses (guest only), its splits by owner, how long it took in seconds.

    ``refused`` counts the partitions that were refused; ``left_out`` the sums, sent or derived,
    that no rows could have (guest only: an honest host sends none, and none learns that it did).
    """

    tree: int
    train_loss: float | None
    validation_loss: float | None
    splits: dict[str, int]
    refused: int
    seconds: float
    left_out: int = 0


@dataclass
class TrainingHistory:
    """What happened in training, as this party saw it.

    ``observed`` holds, for each peer, the counts that the size formulas of ``REVEALS`` name, of
    this attempt alone; all else is of the whole training, with trees that an earlier attempt grew.
    ``margin`` are the guest's log-odds of its training rows under the kept trees, float64[rows].
    """

    trees: list[TreeRecord] = field(default_factory=list)
    kept: int = 0
    observed: Observed = field(default_factory=dict)
    margin: Floats | None = None


class TrainingResult(NamedTuple):
    """A party's part of the model and the history of its training."""

    part: Part
    history: TrainingHistory


class Observer:
    """Counts, peer by peer, what the size formulas name."""

    def __init__(self, peers: tuple[str, ...]) -> None:
        self._lists: dict[str, dict[str, list[int]]] = {peer: defaultdict(list) for peer in peers}

    def add(self, peer: str, **counts: int) -> None:
        """Append one observation to each named list."""
        for name, count in counts.items():
            self._lists[peer][name].append(count)

    def reply(self, peer: str, cells: list[int]) -> None:
        """Note a histogram reply, if there was one: the cells of each of its nodes."""
        if cells:
            self._lists[peer]["cells"].extend(cells)
            self.add(peer, replies=1, cell_chunks=-(-sum(cells) // CHUNK_CELLS))

    def values(self) -> Observed:
        """Return, for each peer, every list of ``NAMES`` and the sums that ``COST`` names."""
        return {peer: _values(lists) for peer, lists in self._lists.items()}


# Observed counts, each part of a reveal below. Per tree: rows encrypted, whether it starts, bytes
# of validation bits; per question: its nodes and their bytes; per settled order: its lengths and
# bytes; per level the cuts that are possible; per replied node the cuts sent.
NAMES = (
    "tree_rows",
    "tree_starts",
    "validation_bytes",
    "asked",
    "left_bytes",
    "accepted",
    "grown",
    "partition_bytes",
    "candidates",
    "cells",
)


def _values(lists: dict[str, list[int]]) -> dict[str, int | list[int]]:
    named: dict[str, int | list[int]] = {name: list(lists[name]) for name in NAMES}
    counted = {
        "rows": sum(lists["tree_rows"]),
        "publications": len(lists["tree_rows"]),
        "row_messages": sum(-(-rows // CHUNK_ROWS) for rows in lists["tree_rows"]),
        "replied_nodes": len(lists["cells"]),
        "replies": sum(lists["replies"]),
        "cell_messages": sum(lists["cell_chunks"]),
        "levels": len(lists["grown"]),
        "asks": len(lists["asked"]),
        "validations": len(lists["validation_bytes"]),
    }
    return named | counted


def _reveal(sender: Role, receiver: Role, kind: type[Message], name: str, size: str) -> Reveal:
    sentence = dict(kind.specs())[name].reveals
    return Reveal(sender, receiver, kind.kind, name, size, sentence or "")


_OWN = (
    _reveal(Role.GUEST, Role.HOST, messages.TreeStart, "more", "sum(tree_starts)"),
    _reveal(Role.GUEST, Role.HOST, messages.TreeStart, "kept", "sum(tree_starts)"),
    _reveal(Role.GUEST, Role.HOST, messages.Order, "ask_nodes", "sum(asked)"),
    _reveal(Role.GUEST, Role.HOST, messages.Order, "ask_candidates", "sum(asked)"),
    _reveal(Role.GUEST, Role.HOST, messages.Order, "accepted", "sum(accepted)"),
    _reveal(Role.GUEST, Role.HOST, messages.Order, "grown", "sum(grown)"),
    _reveal(Role.GUEST, Role.HOST, messages.Order, "partition", "sum(partition_bytes)"),
    _reveal(Role.HOST, Role.GUEST, messages.CandidateCuts, "sent", "sum(candidates)"),
    _reveal(Role.HOST, Role.GUEST, messages.Left, "partition", "sum(left_bytes)"),
    _reveal(Role.HOST, Role.GUEST, messages.Validation, "bits", "sum(validation_bytes)"),
)


def reveals(implementation: Literal["elgamal", "ideal"]) -> tuple[Reveal, ...]:
    """Return what a run reveals, sizes as formulas over ``TrainingHistory.observed`` of a peer."""
    return _OWN + histogram.REVEALS[implementation]


REVEALS: dict[str, tuple[Reveal, ...]] = {
    "elgamal": reveals("elgamal"),
    "ideal": reveals("ideal"),
}

# With AVX2 about five times as long; the portable rate is an estimate.
RATE = Rate(
    "byte",
    {"avx512": 1 / 30e6, "avx2": 2e-7, "portable": 4e-7},
    "bench boosting: 100,000 rows, ten trees, 192 MB in 6.3 s, one core of a cloud machine with "
    "AVX-512",
)


# Of the boosting messages alone, between the guest and each host; the histogram declares its own
# bytes, but its replies come in the rounds of the levels.
COST = Cost(
    "levels + asks + validations",
    (
        Edge(
            "guest",
            "host",
            "9 * sum(asked) + 4 * sum(grown) + sum(partition_bytes)",
            "1 + sum(tree_starts) + levels + asks",
        ),
        Edge(
            "host",
            "guest",
            "sum(candidates) + sum(left_bytes) + sum(validation_bytes)",
            "levels + asks + validations",
        ),
    ),
)


def check_inputs(inputs: BoostingInputs, *, labelled: bool) -> BoostingInputs:
    """Refuse what cannot be trained on; return the inputs as they are trained on.

    The validation rows then have the training's columns in the training's order. Errors:
    ATL-BST-001, ATL-BST-010 one class only, ATL-MOD-003 the validation rows lack columns.
    """
    _check_shape(inputs)
    if labelled:
        _check_label(inputs)
    other = inputs.validation
    if other is None:
        return inputs
    _check_shape(other)
    if labelled:
        _check_zero_one(other)
    match = match_columns(inputs.names, other.names, place="the validation rows")
    matched = replace(other, features=match.take(other.features), names=inputs.names)
    return replace(inputs, validation=matched)


def _check_shape(inputs: BoostingInputs) -> None:
    features = inputs.features
    if features.dtype != np.float64 or features.ndim != 2 or features.shape[0] == 0:
        raise UserError("ATL-BST-001", "features must be float64[rows, columns] with rows")
    if len(inputs.names) != features.shape[1] or len(set(inputs.names)) != len(inputs.names):
        raise UserError("ATL-BST-001", "each column needs a name of its own")


def _check_zero_one(inputs: BoostingInputs) -> Floats:
    label = inputs.label
    if label is None or label.shape != (inputs.features.shape[0],):
        raise UserError("ATL-BST-001", "the guest needs one label for each row")
    wrong = np.flatnonzero(~((label == 0.0) | (label == 1.0)))
    if wrong.size:
        raise UserError(
            "ATL-BST-001", "a label is neither 0 nor 1", place=f"row {int(wrong[0]) + 1}"
        )
    return label


def _check_label(inputs: BoostingInputs) -> None:
    label = _check_zero_one(inputs)
    if not 0.0 < float(label.mean()) < 1.0:
        raise one_class()


def one_class() -> DataError:
    """Return the refusal of labels that are all the same."""
    return DataError("ATL-BST-010", "all labels are the same: there is nothing to learn")
