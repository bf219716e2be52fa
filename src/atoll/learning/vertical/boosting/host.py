"""A feature provider's side: sums, cuts and partitions on request, after checking each request."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.errors import PeerError
from atoll.learning.features.binning import fit
from atoll.learning.vertical.boosting import bits, checks, refusals
from atoll.learning.vertical.boosting.api import (
    BoostingInputs,
    Observer,
    TrainingHistory,
    TrainingResult,
    TreeRecord,
    check_inputs,
)
from atoll.learning.vertical.boosting.cuts import (
    CandidateTable,
    Sent,
    allowed,
    candidates,
    count_bins,
    goes_left,
)
from atoll.learning.vertical.boosting.grow import (
    REFUSALS,
    Sample,
    TreeNode,
    small_first,
    threshold,
)
from atoll.learning.vertical.boosting.loss import scale_bits
from atoll.learning.vertical.boosting.messages import (
    CandidateCuts,
    Left,
    Order,
    Start,
    TreeStart,
    Validation,
)
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.learning.vertical.boosting.progress import TreeLog, new_model
from atoll.learning.vertical.boosting.sampling import (
    candidate_order,
    sample_columns,
    sample_rows,
    tree_seed,
)
from atoll.models.boosting import HostPart, Split
from atoll.models.boosting.scoring import goes_left as compare
from atoll.models.boosting.scoring import pack_rows
from atoll.operators import histogram
from atoll.operators.histogram import NodeCuts
from atoll.privacy.discrete_gaussian import DiscreteGaussian

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Asked = list[tuple[int, int, Bools]]


@dataclass
class _Node:
    """A node as a host knows it: its rows, how many lie in each bin, the cuts that were sent."""

    place: TreeNode
    counts: Ints
    sent: Sent
    candidates: Ints
    announced: list[Bools] = field(default_factory=list)


@dataclass(frozen=True)
class _Pair:
    """A node to be summed, the sibling that the guest derives, and the cuts sent of the parent."""

    summed: TreeNode
    derived: TreeNode | None
    parent: _Node | None


class _Tree:
    """What belongs to the tree that is growing."""

    def __init__(
        self,
        number: int,
        sample: Sample,
        codes: npt.NDArray[np.uint8],
        rows_first: npt.NDArray[np.uint8],
        table: CandidateTable,
    ) -> None:
        self.number = number
        self.sample = sample
        self.codes = codes
        self.rows_first = rows_first
        self.table = table
        self.splits: list[Split] = []
        self.refused = 0


class HostTrainer:
    """Serves one training run; ``run`` returns this host's part."""

    def __init__(
        self, party: Party, inputs: BoostingInputs, parameters: BoostingParameters
    ) -> None:
        inputs = check_inputs(inputs, labelled=False)
        self._party = party
        self._inputs = inputs
        self._parameters = parameters
        self._rows = inputs.features.shape[0]
        self._step = party.channel.scope.task
        self._binning = fit(inputs.features, parameters.bins)
        self._rows_first = self._binning.encode(inputs.features)
        # Drawn before all other secrets and once, so that a seeded test can draw the same.
        self._seed = tree_seed(party, inputs.names, self._rows_first, parameters.digest())
        self._codes = np.ascontiguousarray(self._rows_first.T)
        self._has_missing = (self._codes == self._binning.missing).any(axis=1)
        scale = parameters.scale_bits or scale_bits(self._rows)
        sigmas = checks.noise_sigmas(parameters, scale)
        self._noise = [DiscreteGaussian(s, party.secret_rng) for s in sigmas if s]
        self._sums = histogram.host(party.at("histogram"), parameters.implementation)
        self._observer = Observer((party.guest,))
        self._splits: list[list[Split]] = []
        self._log = TreeLog()
        self._history = TrainingHistory()
        self._model = new_model(party, self._step, noisy=sigmas[0] > 0)

    def run(self) -> TrainingResult:
        """Serve trees until the guest ends the run, then keep the splits of the kept trees."""
        guest, channel = self._party.guest, self._party.channel
        self._resume()
        self._check_start(channel.receive(guest, "start", Start))
        self._sums.start()
        while True:
            order = channel.receive(guest, "tree", TreeStart)
            self._note(tree_starts=1)
            if not order.more:
                return self._finish(order)
            if order.tree != len(self._splits) or order.tree >= self._parameters.trees:
                raise PeerError("ATL-BST-008", "the guest starts a tree that is not due")
            begin = self._party.clock.now()
            tree = self._begin(order.tree)
            splits = self._serve(tree)
            self._splits.append(splits)
            seconds = self._party.clock.now() - begin
            found = {self._party.name: len(splits)}
            self._keep(TreeRecord(order.tree, None, None, found, tree.refused, seconds), splits)
            self._party.progress("boosting", order.tree + 1, self._parameters.trees)

    def _keep(self, record: TreeRecord, splits: list[Split]) -> None:
        self._history.trees.append(record)
        self._log.add(record, splits)
        state = {"model": self._model, "trees": self._log.blobs}
        self._party.checkpoint(len(self._splits), state)

    def _resume(self) -> None:
        found = self._party.resume()
        if found is None:
            return
        _, state = found
        self._model = state["model"]
        for record, splits, _ in self._log.restore(state["trees"]):
            self._history.trees.append(record)
            self._splits.append(splits)
        self._party.progress("boosting", len(self._splits), self._parameters.trees)

    def _check_start(self, start: Start) -> None:
        validation = self._inputs.validation
        held_out = 0 if validation is None else validation.features.shape[0]
        if (start.rows, start.validation_rows) != (self._rows, held_out):
            raise PeerError("ATL-BST-002", "the parties hold different numbers of rows")
        if start.parameters != self._parameters.digest():
            raise PeerError("ATL-BST-002", "the parties hold different parameters")

    def _finish(self, order: TreeStart) -> TrainingResult:
        if order.tree != len(self._splits) or order.kept > len(self._splits):
            raise PeerError("ATL-BST-008", "the guest ends the run at another tree")
        kept = [split for tree in self._splits[: order.kept] for split in tree]
        part = HostPart(
            model=self._model,
            party=self._party.name,
            guest=self._party.guest,
            columns=self._inputs.names,
            splits=tuple(kept),
        )
        self._history.kept, self._history.observed = order.kept, self._observer.values()
        return TrainingResult(part, self._history)

    def _note(self, **counts: int) -> None:
        self._observer.add(self._party.guest, **counts)

    # One tree.

    def _begin(self, number: int) -> _Tree:
        party, parameters = self._party, self._parameters
        rows = sample_rows(party.public_rng, self._step, number, self._rows, parameters.row_sample)
        width = len(self._inputs.names)
        self._columns = sample_columns(self._seed, number, width, parameters.column_sample)
        sample = Sample(rows, self._rows)
        codes, rows_first = self._codes, self._rows_first
        if len(self._columns) < len(codes) or not sample.everyone:
            rows_first = np.ascontiguousarray(rows_first[rows][:, self._columns])
            codes = np.ascontiguousarray(rows_first.T)
        every = candidates(
            self._binning.value_bins[self._columns],
            self._has_missing[self._columns],
            self._binning.width,
        )
        table = CandidateTable.of(every)
        table = CandidateTable.of(every, candidate_order(self._seed, number, len(table)))
        self._every = every
        self._sums.receive(number, len(rows))
        self._note(tree_rows=len(rows))
        return _Tree(number, sample, codes, rows_first, table)

    def _serve(self, tree: _Tree) -> list[Split]:
        root = TreeNode(
            0,
            0,
            np.arange(self._rows, dtype=np.uint32),
            np.arange(len(tree.sample.rows), dtype=np.uint32),
        )
        pairs = [_Pair(root, None, None)]
        for depth in range(self._parameters.depth):
            if not pairs:
                break
            self._party.cancel.check()
            level = self._reply(tree, depth, pairs)
            pairs = self._orders(tree, depth, level)
        self._send_validation(tree)
        return tree.splits

    # One level: sums.

    def _reply(self, tree: _Tree, depth: int, pairs: list[_Pair]) -> dict[int, _Node]:
        level: dict[int, _Node] = {}
        flags: list[npt.NDArray[np.uint8]] = []
        nodes: list[NodeCuts] = []
        for pair in pairs:
            made = self._choose(tree, pair)
            level |= {node.place.number: node for node in made}
            candidates = made[0].candidates
            known = np.arange(len(tree.table)) if pair.parent is None else pair.parent.candidates
            flags.append(np.isin(known, candidates, assume_unique=True).astype(np.uint8))
            if len(candidates):
                nodes.append(_cuts(tree.table, pair.summed, candidates))
        sent = np.concatenate(flags)
        guest = self._party.guest
        self._party.channel.send(guest, "candidates", CandidateCuts(tree.number, depth, sent))
        if nodes:
            tag, width = f"{tree.number}/{depth}", self._binning.width
            if self._noise:
                # Fresh noise over the same sums would average it away.
                self._party.once(tree.number)
            self._sums.reply(tag, tree.rows_first, width, nodes, self._draw(nodes))
        self._note(candidates=len(sent))
        self._observer.reply(guest, [len(node.cuts) for node in nodes])
        return level

    def _choose(self, tree: _Tree, pair: _Pair) -> list[_Node]:
        """Return the summed node, and the derived one, with the cuts that the rule of k allows."""
        width = self._binning.width
        counts = count_bins(tree.codes, pair.summed.summed, width)
        k = self._parameters.minimum_rows
        if pair.parent is None or pair.derived is None:
            sent = allowed(counts[np.newaxis], self._every, k)
            return [_Node(pair.summed, counts, sent, tree.table.candidates(sent))]
        rest = pair.parent.counts - counts
        sent = allowed(np.stack([counts, rest]), pair.parent.sent, k)
        candidates = tree.table.candidates(sent)
        return [
            _Node(pair.summed, counts, sent, candidates),
            _Node(pair.derived, rest, sent, candidates),
        ]

    def _draw(self, nodes: list[NodeCuts]) -> list[tuple[Ints, Ints]] | None:
        if not self._noise:
            return None
        g, h = self._noise
        return [(g.sample(len(node.cuts)), h.sample(len(node.cuts))) for node in nodes]

    # One level: partitions.

    def _orders(self, tree: _Tree, depth: int, level: dict[int, _Node]) -> list[_Pair]:
        asked: Asked = []
        while True:
            order = self._party.channel.receive(self._party.guest, "order", Order)
            if (order.tree, order.depth) != (tree.number, depth):
                raise PeerError("ATL-BST-005", "an order for another level than the present one")
            if order.settled:
                return self._settle(tree, depth, order, level, asked)
            self._announce(tree, depth, order, level, asked)

    def _announce(
        self, tree: _Tree, depth: int, order: Order, level: dict[int, _Node], asked: Asked
    ) -> None:
        numbers, candidates = order.ask_nodes.tolist(), order.ask_candidates.tolist()
        if not numbers or len(numbers) != len(candidates) or len(set(numbers)) != len(numbers):
            raise PeerError("ATL-BST-005", "an order must ask for one cut of each of its nodes")
        if order.accepted.size or order.grown.size or order.partition:
            raise PeerError("ATL-BST-005", "an order either asks or settles")
        sides = []
        for number, candidate in zip(numbers, candidates, strict=True):
            node = level.get(number)
            at = 0 if node is None else int(np.searchsorted(node.candidates, candidate))
            if node is None or at == len(node.candidates) or node.candidates[at] != candidate:
                raise PeerError("ATL-BST-005", "the guest asks for a cut that was never sent")
            if node.announced:
                # To ask again is to refuse what was announced before.
                self._judge(tree, node, node.announced[-1])
            if len(node.announced) > REFUSALS:
                raise PeerError("ATL-BST-008", "the guest asks for too many cuts of one node")
            side = self._side(tree, node.place, candidate)
            refusals.check_asked(self._parameters, *self._counts(tree, node, side))
            node.announced.append(side)
            sides.append(side)
            asked.append((number, candidate, side))
        partition = bits.pack(sides)
        guest = self._party.guest
        self._party.channel.send(guest, "left", Left(tree.number, depth, partition))
        self._note(asked=len(numbers), left_bytes=len(partition))

    def _judge(self, tree: _Tree, node: _Node, side: Bools) -> None:
        refusals.judge(self._parameters, *self._counts(tree, node, side))

    def _counts(self, tree: _Tree, node: _Node, side: Bools) -> tuple[int, int]:
        """Return how many summed rows lie on each side."""
        left = len(tree.sample.positions(node.place.rows[side]))
        return left, len(node.place.summed) - left

    def _side(self, tree: _Tree, place: TreeNode, candidate: int) -> Bools:
        column, cut, missing_left = tree.table.meaning(candidate)
        codes = self._codes[self._columns[column]][place.rows]
        return goes_left(codes, cut, missing_left, self._binning.missing)

    def _settle(
        self, tree: _Tree, depth: int, order: Order, level: dict[int, _Node], asked: Asked
    ) -> list[_Pair]:
        mine = self._adopt(tree, order, level, asked)
        numbers = order.grown.tolist()
        fits = depth + 1 < self._parameters.depth or not numbers
        if not fits or sorted(set(numbers)) != numbers or not set(numbers) <= level.keys():
            raise PeerError("ATL-BST-005", "the guest grows nodes that are not there to be grown")
        others = [number for number in numbers if number not in mine]
        rows = [len(level[number].place.rows) for number in others]
        sides = mine | dict(zip(others, bits.unpack(order.partition, rows), strict=True))
        self._note(
            accepted=len(order.accepted), grown=len(numbers), partition_bytes=len(order.partition)
        )
        pairs = []
        for number in numbers:
            left, right = level[number].place.divide(sides[number], tree.sample)
            if not len(left.summed) or not len(right.summed):
                raise PeerError("ATL-BST-004", "a partition leaves one side of its node empty")
            pairs.append(_Pair(*small_first(left, right), level[number]))
        return pairs

    def _adopt(
        self, tree: _Tree, order: Order, level: dict[int, _Node], asked: Asked
    ) -> dict[int, Bools]:
        """Keep the splits that the guest adopted; return their left rows by node number."""
        flags = order.accepted.tolist()
        if len(flags) != len(asked) or any(flag not in (0, 1) for flag in flags):
            raise PeerError(
                "ATL-BST-005", "the guest must answer for each cut whether it adopts it"
            )
        if order.ask_nodes.size or order.ask_candidates.size:
            raise PeerError("ATL-BST-005", "an order either asks or settles")
        for (number, _, side), flag in zip(asked, flags, strict=True):
            if not flag:
                self._judge(tree, level[number], side)
                tree.refused += 1
        taken = sorted(
            (
                (number, candidate, side)
                for (number, candidate, side), flag in zip(asked, flags, strict=True)
                if flag
            ),
            key=lambda entry: entry[0],
        )
        mine = {number: side for number, _, side in taken}
        if len(mine) != len(taken):
            raise PeerError("ATL-BST-005", "the guest adopts two cuts of one node")
        for number, candidate, _ in taken:
            column, cut, missing_left = tree.table.meaning(candidate)
            real = int(self._columns[column])
            value = threshold(self._binning.thresholds[real], cut)
            tree.splits.append(
                Split(
                    column=real,
                    threshold=value,
                    missing_left=missing_left,
                    tree=tree.number,
                    node=number,
                )
            )
        return mine

    def _send_validation(self, tree: _Tree) -> None:
        validation = self._inputs.validation
        if validation is None or not tree.splits:
            return
        data = pack_rows(compare(tuple(tree.splits), validation.features))
        self._party.channel.send(self._party.guest, "validation", Validation(tree.number, data))
        self._note(validation_bytes=len(data))


def _cuts(table: CandidateTable, place: TreeNode, candidates: Ints) -> NodeCuts:
    at = table.order[candidates]
    return NodeCuts(
        place.summed,
        table.columns[at].astype(np.uint32),
        table.cuts[at].astype(np.uint16),
        table.missing_left[at],
    )
