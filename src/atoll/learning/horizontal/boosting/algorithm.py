"""Gradient boosting over rows of many clients: histograms of a level are summed, nothing else.

Rounds: those of the quantile sketch that gives the bins, one for the mean label, then one for each
level of each tree. In a level's round every client sends one vector, its sums of g, h and rows by
node, column and bin, of all nodes that may still split; only the sum over clients is used, so a
secure sum can stand behind it. Source: Chen and Guestrin, "XGBoost" (KDD 2016), with the histograms
of Ke et al., "LightGBM" (NeurIPS 2017).

Revealed to the aggregator, of all clients of a round together: the sketch's counts; the rows and
the sum of the labels; by node, column and bin the sum of the gradients, of the Hessians and the
number of rows; the loss before each tree. For labels 0 and 1 these give the number of each label in
a bin, and a bin of one row shows its value and label (not whose it is): ``minimum_leaf_rows``
bounds leaves, not sums.
Revealed to clients: the bins, and the trees with their weights.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from atoll.learning.features.binning import MOST_BINS, Binning
from atoll.learning.horizontal.algorithm import WEIGHTS, ClientResult, ClientWork, State, Vectors
from atoll.learning.horizontal.boosting.forest import (
    COLUMN,
    CUT,
    FIELDS,
    GAIN,
    HELD,
    MISSING_LEFT,
    ROUTES,
    Forest,
    empty,
)
from atoll.learning.horizontal.boosting.histograms import CHANNELS, OwnRows, Shape, level_sums
from atoll.learning.horizontal.boosting.losses import (
    TOO_LARGE,
    Logistic,
    Loss,
    Multinomial,
    Squared,
    cut_to,
    require_exact,
    require_within,
)
from atoll.learning.horizontal.boosting.splits import (
    Choice,
    best_splits,
    on_grid,
    require_consistent,
)
from atoll.learning.horizontal.features.api import (
    ROWS,
    PartyStep,
    StepSizes,
    are_counts,
    received,
    summed,
    unfinished,
    wrong_message,
)
from atoll.learning.horizontal.features.counted import THRESHOLDS, from_vector, to_vector
from atoll.learning.horizontal.features.sketch import EDGES, Sketch
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.models.api import Targets
from atoll.learning.horizontal.sums import Extent, Update
from atoll.learning.vertical.boosting.gain import Objective
from atoll.learning.vertical.boosting.parameters import TREE_NODES
from atoll.learning.vertical.boosting.sampling import sample_size

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BASE, AT, LIVE, SUMS, LABELS, SALT = "base", "at", "live", "sums", "labels", "salt"
LOSS, LOSSES = "loss", "losses"
# Losses are summed on a grid of their own, which masks keep.
_LOSS_BITS = 16


class Boosting(PartyStep):
    """Boosted trees, level by level; the state holds the growing forest as plain vectors.

    With all clients in each round the trees are those of the pooled rows with the same bins, bit
    for bit, for any order of clients, number of threads, and mask whose grid is at most 2^-q. A
    client that fails takes its rows out of that level's sums. Values of an update are at most the
    client's rows times max(1, bound). A residual beyond ``bound`` is cut to it, which its owner
    alone sees. A target beyond it, or more rows than the grid can add exactly, is its owner's error
    ATL-HOR-104; others: ATL-HOR-020 labels, ATL-HOR-100, ATL-HOR-101, ATL-HOR-108 sums off the
    grid.
    """

    loss: Literal["logistic", "squared", "softmax"] = Field(
        default="logistic", description="labels 0 and 1; numbers; classes numbered from 0"
    )
    classes: int = Field(default=2, ge=2, le=256, description="classes of softmax")
    trees: int = Field(default=100, ge=1, le=4096, description="trees, for softmax of each class")
    depth: int = Field(default=6, ge=1, le=10, description="levels of splits in each tree")
    learning_rate: float = Field(
        default=0.3, gt=0, le=1, description="share of each tree's step taken"
    )
    bins: int = Field(
        default=64, ge=2, le=MOST_BINS, description="quantile bins of a column; missing one more"
    )
    reg_lambda: float = Field(default=1.0, ge=0, le=1e9, description="L2 penalty on leaf weights")
    gamma: float = Field(default=0.0, ge=0, le=1e9, description="least loss that a split must save")
    minimum_child_weight: float = Field(
        default=1.0, ge=0, le=1e9, description="least sum of h on each side of a split"
    )
    minimum_leaf_rows: int = Field(default=1, ge=1, le=1 << 30, description="least rows of a leaf")
    row_sample: float = Field(default=1.0, gt=0, le=1, description="share of the rows of a tree")
    base_score: Literal["mean", "zero"] = Field(
        default="mean", description="the margin to start from: of the mean label, or 0"
    )
    scale_bits: int = Field(default=16, ge=4, le=30, description="q of the grid 2^-q of g and h")
    bound: float = Field(
        default=1.0,
        gt=0,
        le=1e12,
        description="squared loss: greatest target, and residual of a row",
    )
    cells: int = Field(default=1024, ge=16, le=1 << 16, description="cells of the sketch")
    sketch_rounds: int = Field(default=7, ge=1, le=64, description="rounds of the sketch at most")

    @model_validator(mode="after")
    def _within_caps(self) -> Self:
        if self.trees * self.objectives.outputs * ((1 << self.depth) - 1) > TREE_NODES:
            raise ValueError(f"trees times nodes exceeds {TREE_NODES}: fewer trees or less depth")
        if self.loss != "squared" and self.bound != 1.0:
            raise ValueError("a bound belongs to the squared loss; the others' residuals have 1")
        return self

    @property
    def sketch(self) -> Sketch:
        """The rounds that choose the bins: a cell holds at most a sixth of a bin."""
        return Sketch(
            cells=self.cells, rounds=self.sketch_rounds, tolerance=max(1 / (6 * self.bins), 0.002)
        )

    @property
    def objectives(self) -> Loss:
        """The loss with its formulas."""
        if self.loss == "softmax":
            return Multinomial(self.classes)
        return Logistic() if self.loss == "logistic" else Squared()

    @property
    def shape(self) -> Shape:
        """The sizes that all clients work with."""
        return Shape(self.depth, self.objectives.outputs, self.bins + 1)

    @property
    def most_rounds(self) -> int:
        """See ``FeatureStep.most_rounds``."""
        return self.sketch_rounds + 1 + self.trees * self.depth

    @property
    def row_bound(self) -> float:
        """See ``PartyStep.row_bound``."""
        return max(1.0, self.bound)

    @property
    def fewest(self) -> int:
        """The rows of a client that a tree is grown from, if it has so many."""
        return 1

    @property
    def kept_every(self) -> int:
        """See ``PartyStep.kept_every``: about once a tree."""
        return self.depth

    @property
    def lasting(self) -> tuple[str, ...]:
        """See ``PartyStep.lasting``: what its samples are drawn by; the rest follows from trees."""
        return (SALT,)

    def sizes(self, columns: int) -> StepSizes:
        """See ``PartyStep.sizes``."""
        cells, shape = self.sketch.sizes(columns), self.shape
        nodes = CHANNELS * shape.outputs * columns * shape.width
        levels = self.trees * (nodes * ((1 << self.depth) - 1) + self.depth + 1)
        trees = len(FIELDS) * self.trees * shape.outputs * shape.nodes
        message = trees + columns * (self.bins - 1) + shape.outputs * (1 + (1 << self.depth)) + 2
        return StepSizes(
            message=max(cells.message, message),
            update=max(cells.update, nodes << (self.depth - 1)),
            total=cells.total + shape.outputs + 1 + levels,
        )

    def asked(self, sent: Vectors) -> tuple[str, int]:
        """See ``PartyStep.asked``: each level of each tree once."""
        if EDGES in sent:
            return self.sketch.asked(sent)
        if BASE not in sent:
            received(sent, LABELS, 1)
            return "labels", 1
        tree, level = received(sent, AT, 2)
        return f"level {level:g} of tree {tree:g}", 1

    def begin(self, columns: int) -> State:
        """See ``FeatureStep.begin``."""
        return self.sketch.begin(columns)

    def begin_with(self, binning: Binning) -> State:
        """Return the state before the first round where bins are known. They have ``bins`` bins."""
        if binning.width != self.bins + 1:
            raise wrong_message(THRESHOLDS)
        return self._binned(0, binning)

    def finished(self, state: State) -> bool:
        """See ``FeatureStep.finished``."""
        return AT in state.vectors and int(state.vectors[AT][0]) == self.trees

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``: the sketch's edges, or bins and the trees up to this one.

        All of them, so that a client that missed rounds, or lost what it kept, can take part.
        """
        if THRESHOLDS not in state.vectors:
            return self.sketch.message(state)
        if BASE not in state.vectors:
            return {LABELS: np.zeros(1)}
        grown = (int(state.vectors[AT][0]) + 1) * self.shape.outputs * self.shape.nodes
        trees = {name: state.vectors[name][:grown] for name in ROUTES}
        return trees | {name: state.vectors[name] for name in (THRESHOLDS, BASE, AT, LIVE)}

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        if EDGES in work.sent:
            return self.sketch.client(work)
        targets = self.objectives.check(work.data.targets)
        count = {ROWS: float(len(work.data))}
        if BASE not in work.sent:
            sums = self.objectives.sums(targets)
            if self.loss == "squared":
                unit = 2.0**self.scale_bits
                require_within(targets, self.bound)
                self._require_exact(work)
                sums = np.array([np.rint(targets * unit).sum() / unit])
            return ClientResult(Update({LABELS: sums}, count))
        return self._level(work, targets, count)

    def possible(self, found: Update, of: Extent) -> bool:
        """See ``Algorithm.possible``: gradients are of the rows that a bin counts."""
        if LABELS in found.vectors:
            signed = self.loss == "squared" or found.vectors[LABELS].min() >= 0
            return super().possible(found, of) and bool(signed)
        if SUMS not in found.vectors:
            return self.sketch.possible(found, of)
        g, h, held = found.vectors[SUMS].reshape(CHANNELS, -1)
        within = (np.abs(g) <= self.row_bound * held) & (h >= 0) & (h <= self.row_bound * held)
        return super().possible(found, of) and are_counts(held) and bool(within.all())

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        rows = total.numbers[ROWS]
        if rows <= 0 or self.finished(state):
            return state.next()
        if THRESHOLDS not in state.vectors:
            after = self.sketch.aggregate(state, total)
            if not self.sketch.finished(after):
                return after
            return self._binned(after.round, self.sketch.result(after).binning(self.bins))
        if BASE not in state.vectors:
            sums = summed(total, LABELS, self.shape.outputs)
            base = self.objectives.base(sums, rows)
            base = base if self.base_score == "mean" else np.zeros_like(base)
            return state.next(**{BASE: base, **self._next_tree(0)})
        return self._grow(state, total)

    def forest(self, state: State) -> Forest:
        """Return the trees that are whole by now as a model. Errors: ATL-HOR-102 before those."""
        if BASE not in state.vectors:
            raise unfinished("boosted trees")
        trees = int(state.vectors[AT][0])
        size = trees * self.shape.outputs * self.shape.nodes
        vectors = {n: np.asarray(state.vectors[n][:size], dtype=np.float64) for n in FIELDS}
        thresholds = np.asarray(state.vectors[THRESHOLDS], dtype=np.float64)
        binning = from_vector(thresholds, len(thresholds) // (self.bins - 1))
        base = np.asarray(state.vectors[BASE], dtype=np.float64)
        return Forest(binning, self.objectives, self.depth, trees, base, vectors)

    # A client's level.

    def _level(self, work: ClientWork, targets: Targets, count: dict[str, float]) -> ClientResult:
        rows = work.data.rows
        shape, sent = self.shape, self._checked(work.sent, rows.shape[1])
        tree, level = (int(value) for value in sent[AT])
        own = OwnRows(rows, sent[THRESHOLDS], work.kept)
        margins = own.margins(sent[BASE], sent, tree, shape)
        places = own.places(sent, tree, level, shape)
        self._require_exact(work)
        g, h = self.objectives.gradients(margins, targets, self.scale_bits)
        cut = cut_to(g, self.bound * 2.0**self.scale_bits) | cut_to(h, 2.0**self.scale_bits)
        if level == 0:
            count = {**count, LOSS: self._loss(margins, targets)}
        kept = own.keep(margins, places, sent, (tree, level), shape)
        inside = None
        if self.row_sample < 1:
            kept[SALT] = work.kept.get(SALT, work.generator.integers(1 << 53, size=2) * 1.0)
            inside = self._sampled(kept[SALT], tree, len(rows))
        live = sent[LIVE].astype(np.int64)
        sums = level_sums(own.codes, places, g, h, live, shape, inside)
        sums[:2] *= 2.0**-self.scale_bits
        return ClientResult(Update({SUMS: sums.ravel()}, count), kept, cut=TOO_LARGE if cut else "")

    def _require_exact(self, work: ClientWork) -> None:
        require_exact(len(work.data), work.clients, self.bound, self.scale_bits)

    def _loss(self, margins: Floats, targets: Targets) -> float:
        """Return the loss before a tree, summed over rows on a grid so that sums are exact."""
        losses = self.objectives.of_rows(margins, targets) / self.row_bound**2
        return float(np.rint(losses * 2.0**_LOSS_BITS).sum() * 2.0**-_LOSS_BITS)

    def losses(self, state: State) -> Floats:
        """Return the mean loss of the rows before each tree that was begun, float64[trees]."""
        begun = int(state.vectors[AT][0] + (state.vectors[AT][1] > 0)) if AT in state.vectors else 0
        return np.asarray(state.vectors.get(LOSSES, np.empty(0))[:begun], dtype=np.float64)

    def _sampled(self, salt: Vector, tree: int, rows: int) -> Ints:
        """Return this client's rows of a tree, ascending: the sample's share, ``fewest`` at least.

        ``salt`` was drawn from the client's generator of its first round and is kept, so that all
        levels of a tree have the same rows. Between parties no one else knows it: sums over rows
        that are known would, tree by tree, be equations whose solution is the rows.
        """
        drawn = np.random.Philox(key=salt.astype(np.uint64), counter=[0, 0, 0, tree])
        size = min(rows, max(self.fewest, sample_size(rows, self.row_sample)))
        return np.sort(np.random.Generator(drawn).choice(rows, size, replace=False, shuffle=False))

    def _checked(self, sent: Vectors, columns: int) -> dict[str, Floats]:
        """Return the message of a level. Errors: ATL-HOR-100 for what this client must not use."""
        shape, at = self.shape, received(sent, AT, 2)
        tree, level = at
        if not (0 <= tree < self.trees and 0 <= level < self.depth) or (at % 1).any():
            raise wrong_message(AT)
        size = (int(tree) + 1) * shape.outputs * shape.nodes
        found = {name: received(sent, name, size) for name in ROUTES} | {AT: at}
        found[THRESHOLDS] = received(sent, THRESHOLDS, columns * (self.bins - 1))
        found[BASE] = received(sent, BASE, shape.outputs)
        live = found[LIVE] = received(sent, LIVE)
        whole = (live == np.rint(live)).all() and (np.diff(live) > 0).all()
        if not len(live) or not whole or not 0 <= live[0] <= live[-1] < shape.outputs * shape.nodes:
            raise wrong_message(LIVE)
        if not (live.astype(np.int64) % shape.nodes + 1 >> int(level) == 1).all():
            raise wrong_message(LIVE)
        if not found[COLUMN].min() >= -1:
            raise wrong_message(COLUMN)
        splits = found[COLUMN].reshape(-1, shape.nodes)
        if splits.max() >= columns or (splits[:, shape.nodes // 2 :] >= 0).any():
            raise wrong_message(COLUMN)
        return found

    # The aggregator's level.

    def _binned(self, round_: int, binning: Binning) -> State:
        """Return the state in which bins are known and no label was asked for."""
        trees = empty(self.trees * self.shape.outputs, self.shape.nodes)
        losses = {LOSSES: np.zeros(self.trees)}
        return State(round_, {THRESHOLDS: to_vector(binning), **trees, **losses})

    def _next_tree(self, tree: int) -> dict[str, Floats]:
        """Return where tree number ``tree`` begins: the roots of all outputs are live."""
        roots = np.arange(self.shape.outputs) * float(self.shape.nodes)
        return {AT: np.array([float(tree), 0.0]), LIVE: roots}

    def _grow(self, state: State, total: Update) -> State:
        shape, live = self.shape, state.vectors[LIVE].astype(np.int64)
        tree, level = (int(value) for value in state.vectors[AT])
        thresholds = np.asarray(state.vectors[THRESHOLDS], dtype=np.float64)
        columns = len(thresholds) // (self.bins - 1)
        sums = summed(total, SUMS, CHANNELS * len(live) * columns * shape.width)
        sums = sums.reshape(CHANNELS, len(live), columns, shape.width)
        units = np.stack([on_grid(sums[0], self.scale_bits), on_grid(sums[1], self.scale_bits)])
        whole = np.concatenate([units, on_grid(sums[2:], 0)])
        require_consistent(whole, self.scale_bits)
        objective = self._objective()
        value_bins = from_vector(thresholds, columns).value_bins
        choices = best_splits(whole, value_bins, objective, self.minimum_leaf_rows)
        vectors = {n: np.array(state.vectors[n], dtype=np.float64) for n in (*FIELDS, LOSSES)}
        if level == 0:
            mean = total.numbers[LOSS] / total.numbers[ROWS]
            vectors[LOSSES][tree] = mean * self.row_bound**2
        after: list[int] = []
        first = tree * shape.outputs * shape.nodes
        for node, choice in zip(live.tolist(), choices, strict=True):
            self._record(vectors, first + node, choice, objective, root=level == 0)
            if choice.column >= 0 and level + 1 < self.depth:
                output, local = divmod(node, shape.nodes)
                for side, child in ((1, choice.left), (2, choice.right)):
                    if objective.splittable(child.h, child.rows, self.minimum_leaf_rows):
                        after.append(output * shape.nodes + 2 * local + side)
        place = self._next_tree(tree + 1)
        if after:
            place = {AT: np.array([tree, level + 1.0]), LIVE: np.sort(np.array(after, dtype=float))}
        return state.next(**vectors, **place)

    def _record(
        self,
        vectors: dict[str, Floats],
        at: int,
        choice: Choice,
        objective: Objective,
        *,
        root: bool,
    ) -> None:
        """Write a node's split and its children, or the root's weight where it stays a leaf."""
        if root:
            vectors[HELD][at] = choice.whole.rows
            vectors[WEIGHTS][at] = objective.weight(choice.whole.g, choice.whole.h)
        if choice.column < 0:
            return
        vectors[COLUMN][at], vectors[CUT][at] = choice.column, choice.cut
        vectors[MISSING_LEFT][at], vectors[GAIN][at] = choice.missing_left, choice.gain
        vectors[WEIGHTS][at], vectors[HELD][at] = 0.0, choice.whole.rows
        start = at - at % self.shape.nodes
        local = at - start
        for side, child in ((1, choice.left), (2, choice.right)):
            below = start + 2 * local + side
            vectors[WEIGHTS][below] = objective.weight(child.g, child.h)
            vectors[HELD][below] = child.rows

    def _objective(self) -> Objective:
        return Objective(
            2.0**-self.scale_bits,
            self.reg_lambda,
            self.gamma,
            self.minimum_child_weight,
            self.learning_rate,
        )
