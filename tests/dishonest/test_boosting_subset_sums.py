"""A host whose false sums are of subsets of rows, and what it reads before the first is tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.channel import world
from atoll.channel.party import Party
from atoll.core.names import Role
from atoll.learning.vertical.boosting import BoostingInputs, BoostingParameters
from atoll.learning.vertical.boosting.guest import GuestTrainer
from atoll.learning.vertical.boosting.host import HostTrainer
from atoll.learning.vertical.boosting.loss import scale_bits
from atoll.operators.histogram import NodeCuts
from tests.dishonest.boosting_liars import GUEST, HOST, SEATS, Ended, codes

ROWS, DEPTH, LABELS = 4000, 5, 6
SUBSETS = 1 << LABELS
PARAMETERS = BoostingParameters(trees=3, depth=DEPTH, implementation="ideal")
Ints = npt.NDArray[np.int64]


class SubsetSums:
    """The shipped sums, but each cut's is a constant and the sum over a subset of chosen rows."""

    def __init__(self, real: Any, chosen: Sequence[Ints], sizes: Sequence[int], share: float):
        self._real, self._chosen, self._sizes, self._share = real, chosen, sizes, share

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def reply(self, tag: str, rows_first: Any, width: int, nodes: Any, noise: Any = None) -> None:
        """Cut b is the sum over the chosen rows whose bit is set in b, far beyond any true gain."""
        cuts = len(nodes[0].cuts)
        bins = np.ones((len(rows_first), cuts), np.uint8)
        subset = np.arange(cuts)
        size = np.bitwise_count(subset[:SUBSETS].astype(np.uint64)).astype(np.int64)
        scale, spread = scale_bits(ROWS), self._share * (1 - self._share)
        made, moved = [], []
        for rows, count in zip(self._chosen, self._sizes, strict=True):
            for bit, row in enumerate(rows):
                bins[row, :SUBSETS] = 1 - (subset[:SUBSETS] >> bit & 1)
            columns = np.where(subset < SUBSETS, subset, 0).astype(np.uint32)
            zeros = np.zeros(cuts)
            made.append(
                NodeCuts(
                    rows.astype(np.uint32), columns, zeros.astype(np.uint16), zeros.astype(np.bool_)
                )
            )
            g, h = np.zeros(cuts, np.int64), np.zeros(cuts, np.int64)
            g[:SUBSETS] = -((int(0.9 * count) - LABELS) << scale)
            # Of equal h, so that the largest gain is that of the least g.
            h[:SUBSETS] = int(0.4 * count * spread * 2**scale) - size * round(spread * 2**scale)
            moved.append((g, h))
        self._real.reply(tag, bins, 3, made, moved)


class SubsetHost(HostTrainer):
    """Shipped but for the last level of the first tree."""

    def __init__(self, party: Party, inputs: BoostingInputs, share: float) -> None:
        super().__init__(party, inputs, PARAMETERS)
        self.share = share
        self.rows = iter(np.random.default_rng(5).permutation(ROWS))
        self.chosen: dict[int, Ints] = {}
        self.asked: dict[int, int] = {}
        self.orders = 0

    def _choose(self, tree: Any, pair: Any) -> Any:
        made = super()._choose(tree, pair)
        for node in made:
            node.candidates = np.arange(len(tree.table))
        return made

    def _reply(self, tree: Any, depth: int, pairs: Any) -> Any:
        if depth < DEPTH - 1 or tree.number:
            return super()._reply(tree, depth, pairs)
        for pair in pairs:
            rows = np.sort([next(self.rows) for _ in range(LABELS)])
            self.chosen[pair.summed.number] = rows
        sizes = [len(pair.summed.summed) for pair in pairs]
        real = self._sums
        self._sums = SubsetSums(real, list(self.chosen.values()), sizes, self.share)
        try:
            return super()._reply(tree, depth, pairs)
        finally:
            self._sums = real

    def _announce(self, tree: Any, depth: int, order: Any, level: Any, asked: Any) -> None:
        if depth == DEPTH - 1 and not tree.number:
            self.orders += 1
            self.asked |= dict(
                zip(order.ask_nodes.tolist(), order.ask_candidates.tolist(), strict=True)
            )
        super()._announce(tree, depth, order, level, asked)


def played() -> tuple[Ended, SubsetHost, npt.NDArray[np.float64]]:
    rng = np.random.default_rng(1)
    own, other = rng.normal(size=(ROWS, 8)), rng.normal(size=(ROWS, 10))
    label = (rng.random(ROWS) < 1 / (1 + np.exp(0.5 - 0.7 * own.sum(axis=1)))).astype(np.float64)
    liars: list[SubsetHost] = []

    def entry(party: Party) -> Any:
        if party.role == Role.GUEST:
            names = tuple(f"g{at}" for at in range(8))
            return GuestTrainer(party, BoostingInputs(own, names, label), PARAMETERS).run()
        inputs = BoostingInputs(other, tuple(f"h{at}" for at in range(10)))
        liars.append(SubsetHost(party, inputs, float(label.mean())))
        return liars[0].run()

    done = world.run(SEATS, entry, seed=7)
    return Ended(codes(done.errors), done.results), liars[0], label


def test_labels_of_chosen_rows_show_for_each_node_of_one_order() -> None:
    ended, liar, label = played()
    # The page's bound: one order, one choice among the cuts for each summed node of the level.
    assert liar.orders == 1
    assert len(liar.chosen) <= 2 ** (DEPTH - 2)
    read = [
        (cut >> bit & 1, label[row])
        for node, cut in liar.asked.items()
        if node in liar.chosen and cut < SUBSETS
        for bit, row in enumerate(liar.chosen[node])
    ]
    assert len(read) == LABELS * len(liar.chosen)
    assert all(found == true for found, true in read)
    assert ended.codes[GUEST] == "ATL-BST-007"
    assert HOST not in ended.results
