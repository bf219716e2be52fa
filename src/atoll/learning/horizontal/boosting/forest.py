"""Trees as plain vectors: what the aggregator holds, sends, and what becomes a model.

A tree is full: node 0 is the root, 2i + 1 and 2i + 2 are the children of i. ``column`` is -1 where
a row stops. A row goes left if its code is at most ``cut``, a missing value if ``missing_left``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError
from atoll.learning.features.binning import Binning
from atoll.learning.horizontal.algorithm import WEIGHTS
from atoll.learning.horizontal.boosting.losses import Logistic, Loss
from atoll.learning.horizontal.layout import Vector
from atoll.learning.vertical.boosting.grow import threshold
from atoll.models.boosting.part import GUEST, LEAF, GuestPart, Split, Tree
from atoll.models.forest.part import ForestPart, ForestSpec

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
LossName = Literal["logistic", "squared", "softmax"]
COLUMN, CUT, MISSING_LEFT = "tree.column", "tree.cut", "tree.missing_left"
GAIN, HELD = "tree.gain", "tree.rows"
# What rows are routed by, and what a model keeps besides.
ROUTES = (COLUMN, CUT, MISSING_LEFT, WEIGHTS)
FIELDS = (*ROUTES, GAIN, HELD)


def nodes_of(depth: int) -> int:
    """Return the nodes of a full tree."""
    return (2 << depth) - 1


def empty(trees: int, nodes: int) -> dict[str, Floats]:
    """Return the vectors of so many trees that are not grown, float64[trees · nodes] each."""
    found = {name: np.zeros(trees * nodes) for name in FIELDS}
    found[COLUMN] -= 1
    return found


@dataclass(frozen=True)
class Routes:
    """One tree as rows pass it: ``column`` int64[nodes], ``sides`` bool[nodes · width]: left?"""

    column: Ints
    sides: Bools
    weight: Floats
    width: int

    @classmethod
    def of(cls, vectors: Mapping[str, Vector], tree: int, nodes: int, width: int) -> Routes:
        """Take tree number ``tree`` out of vectors of ``nodes`` values a tree."""
        span = slice(tree * nodes, (tree + 1) * nodes)
        codes = np.arange(width)
        sides = codes <= vectors[CUT][span, np.newaxis]
        sides[:, width - 1] = vectors[MISSING_LEFT][span] > 0
        weight = np.asarray(vectors[WEIGHTS][span], dtype=np.float64)
        return cls(vectors[COLUMN][span].astype(np.int64), sides.ravel(), weight, width)

    def down(self, place: Ints, codes: Codes) -> Ints:
        """Return where rows at nodes ``place`` int64[n] stand a level lower, as far as it goes.

        ``codes`` are uint8[columns, n].
        """
        rows = len(place)
        column = self.column[place]
        moves = column >= 0
        code = codes.ravel()[np.maximum(column, 0) * rows + np.arange(rows)]
        left = self.sides[place * self.width + code]
        return np.where(moves, 2 * place + 2 - left, place)

    def leaves(self, codes: Codes, depth: int) -> Ints:
        """Return the node at which each row stops, int64[n]."""
        place = np.zeros(codes.shape[1], dtype=np.int64)
        for _ in range(depth):
            place = self.down(place, codes)
        return place


def add_trees(
    margins: Floats,
    vectors: Mapping[str, Vector],
    trees: range,
    codes: Codes,
    depth: int,
    width: int,
) -> None:
    """Add what trees first…last of each output say to float64[outputs, n] margins, in place."""
    outputs, nodes = len(margins), nodes_of(depth)
    for tree in trees:
        for output in range(outputs):
            routes = Routes.of(vectors, tree * outputs + output, nodes, width)
            margins[output] += routes.weight[routes.leaves(codes, depth)]


@dataclass(frozen=True)
class Forest:
    """A trained model: ``vectors`` float64[trees · outputs · nodes] each, tree by tree.

    ``base`` float64[outputs] is what every row starts from.
    """

    binning: Binning
    loss: Loss
    depth: int
    trees: int
    base: Floats
    vectors: Mapping[str, Floats]

    def margins(self, rows: Floats) -> Floats:
        """Return float64[outputs, n] of float64[n, columns]. Errors: ATL-BIN-001, ATL-BIN-002."""
        codes = np.ascontiguousarray(self.binning.encode(rows).T)
        found = np.repeat(self.base[:, np.newaxis], len(rows), axis=1)
        add_trees(found, self.vectors, range(self.trees), codes, self.depth, self.binning.width)
        return found

    def predict(self, rows: Floats) -> Floats:
        """Return probabilities or values, float64[n], or float64[n, classes]."""
        return self.loss.predict(self.margins(rows))

    def part(self, party: str, names: Sequence[str]) -> GuestPart:
        """Return a logistic model as the part of a boosting model that ``party`` scores alone.

        It is stored, downloaded and scored like one of vertical boosting without hosts. Errors:
        ATL-HOR-106 for another loss, which that kind of model does not have.
        """
        if not isinstance(self.loss, Logistic):
            raise UserError(
                "ATL-HOR-106",
                "only a logistic model is one of the kind that nodes store",
                hint="score the others by Forest.predict",
            )
        splits: list[Split] = []
        trees = tuple(self._tree(number, splits) for number in range(self.trees))
        digest = hashlib.sha256(b"atoll/horizontal-forest/v1" + self.base.tobytes())
        for name in FIELDS:
            digest.update(self.vectors[name].tobytes())
        return GuestPart(
            model=digest.hexdigest()[:32],
            party=party,
            hosts=(),
            columns=tuple(names),
            base_margin=float(self.base[0]),
            splits=tuple(splits),
            host_splits=(),
            trees=trees,
        )

    def whole(self, party: str, names: Sequence[str], loss: LossName) -> ForestPart:
        """Return the model as the part that ``party`` keeps and scores alone; ``loss`` is its
        loss's name.
        """
        v, splits = self.vectors, self.vectors[COLUMN] >= 0
        column = v[COLUMN].astype(np.int32)
        threshold_ = np.zeros(len(column))
        for at in np.flatnonzero(splits).tolist():
            threshold_[at] = threshold(self.binning.thresholds[column[at]], int(v[CUT][at]))
        spec = ForestSpec(
            loss=loss, classes=max(len(self.base), 2), trees=self.trees, depth=self.depth
        )
        arrays: dict[str, npt.NDArray[Any]] = {
            "column": column,
            "threshold": threshold_,
            "missing_left": ((v[MISSING_LEFT] > 0) & splits).astype(np.uint8),
            "weight": v[WEIGHTS],
            "gain": v[GAIN],
            "rows": v[HELD].astype(np.int64),
        }
        return ForestPart(party, tuple(names), spec, self.base, arrays)

    def _tree(self, number: int, splits: list[Split]) -> Tree:
        """Return a tree breadth first, its splits appended to ``splits``."""
        nodes = nodes_of(self.depth)
        v = {n: self.vectors[n][number * nodes : (number + 1) * nodes].tolist() for n in FIELDS}
        order, owner, split, left, right = [0], [], [], [], []
        for node in order:
            column = int(v[COLUMN][node])
            if column < 0:
                owner.append(LEAF)
                split.append(0)
                left.append(0)
                right.append(0)
                continue
            owner.append(GUEST)
            split.append(len(splits))
            left.append(len(order))
            right.append(len(order) + 1)
            order.extend((2 * node + 1, 2 * node + 2))
            value = threshold(self.binning.thresholds[column], int(v[CUT][node]))
            missing = v[MISSING_LEFT][node] > 0
            splits.append(Split(column=column, threshold=value, missing_left=missing))
        return Tree(
            owner=tuple(owner),
            split=tuple(split),
            left=tuple(left),
            right=tuple(right),
            weight=tuple(v[WEIGHTS][node] for node in order),
            gain=tuple(v[GAIN][node] for node in order),
            rows=tuple(int(v[HELD][node]) for node in order),
        )
