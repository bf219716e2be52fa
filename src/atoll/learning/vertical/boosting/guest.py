"""The label holder's side: chooses every split, keeps structure, leaf weights and own splits."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.errors import UserError
from atoll.learning.features.binning import fit
from atoll.learning.vertical.boosting import checks
from atoll.learning.vertical.boosting.api import (
    BoostingInputs,
    TrainingHistory,
    TrainingResult,
    TreeRecord,
    check_inputs,
)
from atoll.learning.vertical.boosting.columns import LeafRules, OwnColumns, Totals, Values
from atoll.learning.vertical.boosting.exchange import Grown, GuestNode, HostCalls, Pair
from atoll.learning.vertical.boosting.gain import Objective
from atoll.learning.vertical.boosting.grow import (
    REFUSALS,
    Sample,
    TreeBuilder,
    TreeNode,
    small_first,
    threshold,
)
from atoll.learning.vertical.boosting.held_out import HeldOut
from atoll.learning.vertical.boosting.loss import base_margin, gradients, log_loss, scale_bits
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.learning.vertical.boosting.progress import TreeLog, new_model
from atoll.learning.vertical.boosting.sampling import sample_columns, sample_rows, tree_seed
from atoll.models.boosting import GuestPart, Split, Tree
from atoll.models.boosting.scoring import goes_left, tree_leaves

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ChosenSplit:
    """The split of a node: owner (0 own, 1 + i a host), its cut, the left rows, exact sums."""

    node: GuestNode
    owner: int
    key: int
    left: Bools
    left_totals: Totals
    gain: float

    @property
    def right_totals(self) -> Totals:
        """The sums of the rows that go right."""
        return self.node.totals.minus(self.left_totals)


class CandidateSplits:
    """A node's candidate cuts, best first: by gain, then owner, then column or candidate order."""

    def __init__(self, node: GuestNode, gains: list[Floats]) -> None:
        self.node = node
        self.refused = 0
        self._gains = np.concatenate(gains)
        self._starts = np.cumsum([0, *map(len, gains)])

    def best(self) -> tuple[int, int, float] | None:
        """Return (owner, position within its candidates, gain), and forget it; None if empty."""
        if not len(self._gains):
            return None
        at = int(np.argmax(self._gains))
        gain = float(self._gains[at])
        if gain == -np.inf:
            return None
        self._gains[at] = -np.inf
        owner = int(np.searchsorted(self._starts, at, side="right")) - 1
        return owner, at - int(self._starts[owner]), gain


class _Tree:
    """What belongs to the tree that is growing."""

    def __init__(self, number: int, sample: Sample, columns: npt.NDArray[np.uint32]) -> None:
        self.number = number
        self.sample = sample
        self.columns = columns
        self.builder = TreeBuilder()
        self.leaves: dict[int, tuple[TreeNode, float]] = {}
        self.new_splits: dict[int, int] = {}
        self.refused = 0
        self.own: OwnColumns
        self.values: Values


class GuestTrainer:
    """Trains one model; ``run`` returns the guest's part."""

    # What an audit replaces to watch the messages.
    exchange_class: ClassVar[type[HostCalls]] = HostCalls

    def __init__(
        self, party: Party, inputs: BoostingInputs, parameters: BoostingParameters
    ) -> None:
        inputs = check_inputs(inputs, labelled=True)
        if parameters.early_stopping_rounds and inputs.validation is None:
            raise UserError("ATL-BST-001", "early stopping needs validation rows")
        self._party = party
        self._inputs = inputs
        self._parameters = parameters
        self._rows = inputs.features.shape[0]
        self._step = party.channel.scope.task
        self._label: Floats = inputs.label if inputs.label is not None else np.empty(0)
        self._bits = parameters.scale_bits or scale_bits(self._rows)
        self._objective = Objective(
            2.0**-self._bits,
            parameters.reg_lambda,
            parameters.gamma,
            parameters.minimum_child_weight,
            parameters.learning_rate,
        )
        self._rules = LeafRules(parameters.leaf_rows, parameters.minimum_class_rows)
        self._binning = fit(inputs.features, parameters.bins)
        rows_first = self._binning.encode(inputs.features)
        self._seed = tree_seed(party, inputs.names, rows_first, parameters.digest())
        self._codes = np.ascontiguousarray(rows_first.T)
        self._has_missing = (self._codes == self._binning.missing).any(axis=1)
        sigmas = checks.noise_sigmas(parameters, self._bits)
        self._exchange = self.exchange_class(party, parameters, self._bits, sigmas)
        self._noisy = sigmas[0] > 0
        self._splits: list[Split] = []
        self._held = [0] * (1 + len(party.hosts))
        self._trees: list[Tree] = []
        self._log = TreeLog()
        self._history = TrainingHistory()
        self._model = new_model(party, self._step, noisy=self._noisy)
        self._base = base_margin(self._label, parameters.base_score)
        self._margin = np.full(self._rows, self._base)
        self._best = self._margin
        self._held_out = HeldOut(inputs.validation, self._base)

    def run(self) -> TrainingResult:
        """Train; progress is reported per tree, cancelling is checked at each level."""
        held_out, patience = self._held_out, self._parameters.early_stopping_rounds
        self._resume()
        self._exchange.start(self._rows, held_out.rows)
        while len(self._trees) < self._parameters.trees and not held_out.stalled(patience):
            self._next()
        kept = held_out.kept(patience, len(self._trees))
        self._exchange.tree(len(self._trees), more=False, kept=kept)
        return self._finish(self._best if kept < len(self._trees) else self._margin, kept)

    def _next(self) -> None:
        begin = self._party.clock.now()
        tree = self._grow(len(self._trees), self._margin)
        self._trees.append(tree.builder.tree())
        for place, weight in tree.leaves.values():
            self._margin[place.rows] += weight
        loss = self._validate(tree, self._held_out)
        # Copied and kept either way: the host awaits the next tree, and would time the difference.
        self._best = (self._margin if self._held_out.improved else self._best).copy()
        self._record(tree, loss, self._party.clock.now() - begin)
        self._keep(tree)
        self._party.progress("boosting", len(self._trees), self._parameters.trees)

    # What an attempt after this one needs.

    def _keep(self, tree: _Tree) -> None:
        own = self._splits[len(self._splits) - tree.new_splits.get(0, 0) :]
        self._log.add(self._history.trees[-1], own, self._trees[-1])
        state = {"model": self._model, "trees": self._log.blobs, "margin": self._margin}
        if self._held_out.rows:
            state["held_out"] = self._held_out.margin
            if self._parameters.early_stopping_rounds:
                state["best"] = self._best
        self._party.checkpoint(len(self._trees), state)

    def _resume(self) -> None:
        found = self._party.resume()
        if found is None:
            return
        _, state = found
        self._model, self._margin = state["model"], state["margin"]
        self._best = state.get("best", self._margin.copy())
        losses: list[float] = []
        for record, splits, tree in self._log.restore(state["trees"]):
            self._splits += splits
            self._history.trees.append(record)
            self._show(record)
            losses += [] if record.validation_loss is None else [record.validation_loss]
            self._trees += [] if tree is None else [tree]
        for owner in itertools.chain.from_iterable(tree.owner for tree in self._trees):
            if owner >= 0:
                self._held[owner] += 1
        if self._held_out.rows:
            self._held_out.restore(state["held_out"], losses)
        self._party.progress("boosting", len(self._trees), self._parameters.trees)

    def _finish(self, margin: Floats, kept: int) -> TrainingResult:
        trees = self._trees[:kept]
        held = [0] * len(self._held)
        for tree in trees:
            for owner in tree.owner:
                if owner >= 0:
                    held[owner] += 1
        part = GuestPart(
            model=self._model,
            party=self._party.name,
            hosts=self._party.hosts,
            columns=self._inputs.names,
            base_margin=self._base,
            splits=tuple(self._splits[: held[0]]),
            host_splits=tuple(held[1:]),
            trees=tuple(trees),
        )
        history = self._history
        history.kept, history.observed = kept, self._exchange.observer.values()
        history.margin = margin
        return TrainingResult(part, history)

    def _record(self, tree: _Tree, loss: float | None, seconds: float) -> None:
        names = (self._party.name, *self._party.hosts)
        record = TreeRecord(
            tree.number,
            log_loss(self._margin, self._label),
            loss,
            {names[owner]: count for owner, count in sorted(tree.new_splits.items())},
            tree.refused,
            seconds,
            self._exchange.left_out,
        )
        self._exchange.left_out = 0
        self._history.trees.append(record)
        self._show(record)

    def _show(self, record: TreeRecord) -> None:
        for name, loss in (("train", record.train_loss), ("validation", record.validation_loss)):
            if loss is not None:
                self._party.metric(f"log_loss.{name}", loss, record.tree + 1)

    # One tree.

    def _begin(self, number: int, margin: Floats) -> _Tree:
        party, parameters = self._party, self._parameters
        rows = sample_rows(party.public_rng, self._step, number, self._rows, parameters.row_sample)
        width = len(self._inputs.names)
        columns = sample_columns(self._seed, number, width, parameters.column_sample)
        tree = _Tree(number, Sample(rows, self._rows), columns)
        picked = rows if not tree.sample.everyone else slice(None)
        g, h = gradients(margin[picked], self._label[picked], self._bits)
        self._exchange.tree(number, more=True, kept=number)
        self._exchange.publish(number, g, h)
        tree.values = Values(
            g.astype(np.int64), h.astype(np.int64), self._label[picked].astype(np.int64)
        )
        codes = self._codes if len(columns) == len(self._codes) else self._codes[columns]
        tree.own = OwnColumns(
            codes if tree.sample.everyone else np.ascontiguousarray(codes[:, rows]),
            self._binning.value_bins[columns],
            self._has_missing[columns],
            self._binning.width,
            parameters.minimum_class_rows > 0,
        )
        return tree

    def _grow(self, number: int, margin: Floats) -> _Tree:
        tree = self._begin(number, margin)
        place = TreeNode(
            0,
            0,
            np.arange(self._rows, dtype=np.uint32),
            np.arange(len(tree.sample.rows), dtype=np.uint32),
        )
        totals = tree.values.total(place.summed)
        root = GuestNode(place, totals, tree.own.histogram(place.summed, tree.values))
        self._leaf(tree, place, totals)
        level, pairs = [root], [Pair(root)]
        for depth in range(self._parameters.depth):
            if not pairs:
                break
            self._party.cancel.check()
            self._exchange.gather(number, depth, pairs)
            decisions, accepted = self._choose_splits(tree, depth, level)
            level, pairs = self._settle(tree, depth, decisions, accepted)
        return tree

    def _leaf(self, tree: _Tree, place: TreeNode, totals: Totals) -> None:
        weight = self._objective.weight(totals.g, totals.h)
        tree.builder.node(place, weight)
        tree.leaves[place.number] = (place, weight)

    # One level: choose.

    def _choose_splits(
        self, tree: _Tree, depth: int, level: list[GuestNode]
    ) -> tuple[list[ChosenSplit], dict[str, list[tuple[int, bool]]]]:
        """Return the splits of a level and, per host, what became of each of its partitions."""
        pools = {node.place.number: self._pool(tree, node) for node in level}
        pending = list(pools.values())
        decisions: list[ChosenSplit] = []
        accepted: dict[str, list[tuple[int, bool]]] = {}
        while pending:
            asks: dict[str, list[tuple[GuestNode, int]]] = {}
            chosen: dict[int, tuple[int, int]] = {}
            for pool in pending:
                best = pool.best()
                if best is None:
                    continue
                owner, at, gain = best
                if owner == 0:
                    decisions.append(self._own_split(tree, pool.node, at, gain))
                else:
                    host = self._party.hosts[owner - 1]
                    candidate = int(pool.node.sums[host].candidates[at])
                    asks.setdefault(host, []).append((pool.node, candidate))
                    chosen[pool.node.place.number] = (owner, at)
            sides = self._exchange.ask(tree.number, depth, asks) if asks else {}
            pending = []
            for number, (owner, at) in chosen.items():
                pool = pools[number]
                decision = self._announced(tree, pool.node, owner, at, sides[number])
                host = self._party.hosts[owner - 1]
                accepted.setdefault(host, []).append((number, decision is not None))
                if decision is not None:
                    decisions.append(decision)
                    continue
                tree.refused += 1
                pool.refused += 1
                if pool.refused <= REFUSALS:
                    pending.append(pool)
        return sorted(decisions, key=lambda made: made.node.place.number), accepted

    def _pool(self, tree: _Tree, node: GuestNode) -> CandidateSplits:
        total = node.totals
        g, h, fits = tree.own.offers(node.own, total, self._rules)
        gains = [np.where(fits, self._objective.gains(g, h, total.g, total.h), -np.inf)]
        for host in self._party.hosts:
            sums = node.sums[host]
            found = self._objective.gains(sums.g, sums.h, total.g, total.h)
            gains.append(np.where(sums.possible, found, -np.inf))
        return CandidateSplits(node, gains)

    def _own_split(self, tree: _Tree, node: GuestNode, key: int, gain: float) -> ChosenSplit:
        column, cut, missing_left = tree.own.table.meaning(key)
        codes = self._codes[tree.columns[column]][node.place.rows]
        left = codes <= cut
        if missing_left:
            left |= codes == self._binning.missing
        summed = tree.sample.positions(node.place.rows[left])
        return ChosenSplit(node, 0, key, left, tree.values.total(summed), gain)

    def _announced(
        self, tree: _Tree, node: GuestNode, owner: int, at: int, left: Bools
    ) -> ChosenSplit | None:
        """Check a host's left rows against its sums; None if the children may not be made."""
        host = self._party.hosts[owner - 1]
        sums = node.sums[host]
        totals = tree.values.total(tree.sample.positions(node.place.rows[left]))
        checks.check_announced(
            host,
            (int(sums.g[at]), int(sums.h[at])),
            (totals.g, totals.h),
            self._exchange.slack(node.place.depth),
        )
        right = node.totals.minus(totals)
        checks.check_sides(host, self._parameters.minimum_rows, (totals.rows, right.rows))
        if not self._rules.admits(totals, right):
            return None
        g, h = np.array([totals.g]), np.array([totals.h])
        gain = float(self._objective.gains(g, h, node.totals.g, node.totals.h)[0])
        if gain == -np.inf:
            return None
        return ChosenSplit(node, owner, int(sums.candidates[at]), left, totals, gain)

    # One level: divide.

    def _settle(
        self,
        tree: _Tree,
        depth: int,
        decisions: list[ChosenSplit],
        accepted: dict[str, list[tuple[int, bool]]],
    ) -> tuple[list[GuestNode], list[Pair]]:
        level: list[GuestNode] = []
        pairs: list[Pair] = []
        grown: list[Grown] = []
        for made in decisions:
            left, right = self._divide(tree, made)
            if depth + 1 == self._parameters.depth:
                continue
            children = [(left, made.left_totals), (right, made.right_totals)]
            able = [self._splittable(totals) for _, totals in children]
            if not any(able):
                continue
            pair = self._pair(tree, made, children)
            pairs.append(pair)
            both = sorted((pair.summed, pair.derived), key=lambda n: n.place.number if n else 0)
            level += [n for n, fits in zip(both, able, strict=True) if n is not None and fits]
            owner = self._party.hosts[made.owner - 1] if made.owner else ""
            grown.append(Grown(made.node.place.number, owner, made.left))
        flags = {host: [made for _, made in log] for host, log in accepted.items()}
        self._exchange.settle(tree.number, depth, flags, grown)
        return level, pairs

    def _splittable(self, totals: Totals) -> bool:
        return self._objective.splittable(totals.h, totals.rows, self._rules.rows)

    def _divide(self, tree: _Tree, made: ChosenSplit) -> tuple[TreeNode, TreeNode]:
        split = self._held[made.owner]
        self._held[made.owner] += 1
        if made.owner == 0:
            column, cut, missing_left = tree.own.table.meaning(made.key)
            real = int(tree.columns[column])
            value = threshold(self._binning.thresholds[real], cut)
            self._splits.append(Split(column=real, threshold=value, missing_left=missing_left))
        tree.new_splits[made.owner] = tree.new_splits.get(made.owner, 0) + 1
        number = made.node.place.number
        tree.builder.divide(number, made.owner, split, made.gain)
        del tree.leaves[number]
        left, right = made.node.place.divide(made.left, tree.sample)
        self._leaf(tree, left, made.left_totals)
        self._leaf(tree, right, made.right_totals)
        return left, right

    def _pair(
        self, tree: _Tree, made: ChosenSplit, children: list[tuple[TreeNode, Totals]]
    ) -> Pair:
        totals = {place.number: value for place, value in children}
        small, large = small_first(children[0][0], children[1][0])
        own = tree.own.histogram(small.summed, tree.values)
        summed = GuestNode(small, totals[small.number], own)
        derived = GuestNode(large, totals[large.number], made.node.own - own)
        return Pair(summed, made.node, derived)

    # The validation rows.

    def _validate(self, tree: _Tree, held_out: HeldOut) -> float | None:
        if held_out.features is None:
            return None
        own = tree.new_splits.get(0, 0)
        first = len(self._splits) - own
        blocks = [goes_left(tuple(self._splits[first:]), held_out.features)]
        offsets = [-first]
        hosts = {
            host: tree.new_splits[at + 1]
            for at, host in enumerate(self._party.hosts)
            if tree.new_splits.get(at + 1)
        }
        found = self._exchange.validation(tree.number, hosts, held_out.rows)
        for at, host in enumerate(self._party.hosts):
            before = sum(map(len, blocks))
            offsets.append(before - (self._held[at + 1] - hosts.get(host, 0)))
            if host in found:
                blocks.append(found[host])
        grown = self._trees[-1]
        leaves = tree_leaves(grown, np.concatenate(blocks), offsets)
        return held_out.add(np.array(grown.weight)[leaves])
