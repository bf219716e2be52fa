"""What the page states of guesses at a host's bins, and of partitions that a host makes up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from atoll.channel.party import Party
from atoll.channel.world import run
from atoll.core.names import Role
from atoll.core.random import PublicRandom
from atoll.learning.vertical.boosting import bits
from atoll.learning.vertical.boosting.api import BoostingInputs
from atoll.learning.vertical.boosting.guest import GuestTrainer
from atoll.learning.vertical.boosting.messages import CandidateCuts, Left, Order, Start, TreeStart
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.learning.vertical.boosting.sampling import candidate_order, tree_seed
from atoll.operators import coin_toss, histogram
from atoll.operators.histogram import NodeCuts

ROWS, COLUMNS, BEST = 600, 5, 30
PARTIES = {"guest": Role.GUEST, "host": Role.HOST}


def _order(party: Party, codes: np.ndarray) -> list[int]:
    seed = tree_seed(party, ("age", "flag"), codes, b"parameters")
    return [int(at) for at in candidate_order(seed, 0, 32)]


@pytest.mark.parametrize("fixed", [True, False])
def test_a_guess_at_withheld_bins_is_confirmed_where_a_job_has_a_seed(fixed: bool) -> None:
    """Lie: a guest that knows a column by its sums tries which row has the flag, until it fits."""
    known = np.random.default_rng(0).integers(0, 16, 40, dtype=np.uint8)

    def codes(row: int) -> np.ndarray:
        flag = np.zeros(40, np.uint8)
        flag[row] = 1
        return np.column_stack([known, flag])

    def of(party: Party) -> Party:
        if not fixed:
            return party
        return replace(party, public_rng=PublicRandom(coin_toss.fixed.run(7), fixed=True))

    def host(party: Party) -> list[int]:
        return _order(of(party), codes(23))

    def stranger(party: Party) -> list[list[int]]:
        # Whoever runs the same step as the host computes what the host does.
        return [_order(of(party), codes(row)) for row in range(40)]

    shown = run(PARTIES, {"guest": lambda party: None, "host": host}, seed=3).results["host"]
    # Another run: nothing of it is the host's, but what the job fixes.
    tried = run(PARTIES, {"guest": lambda party: None, "host": stranger}, seed=4).results["host"]
    fits = [row for row, order in enumerate(tried) if order == shown]
    assert fits == ([23] if fixed else [])


class MakingUp:
    """A host whose cuts are its best rows and one row more each; all it sends is true of them.

    The sums are never looked at. The cut that is asked for names a row with a positive label.
    """

    def __init__(self, values: np.ndarray, most: int) -> None:
        order = np.argsort(-values)
        self.best, self.others, self.most = order[:BEST].tolist(), order[BEST:].tolist(), most
        self.found: list[int] = []

    def play(self, party: Party) -> None:
        channel, guest = party.channel, party.guest
        sums = histogram.host(party.at("histogram"), "ideal")
        channel.receive(guest, "start", Start)
        sums.start()
        while (begun := channel.receive(guest, "tree", TreeStart)).more:
            sums.receive(begun.tree, ROWS)
            base = self.found if len(self.found) >= 20 else [*self.best, *self.found]
            tried = [row for row in self.others if row not in self.found][: self.most - 1]
            sets = [*([*base, row] for row in tried), base]
            codes = np.ones((ROWS, len(sets)), np.uint8)
            for at, rows in enumerate(sets):
                codes[rows, at] = 0
            channel.send(guest, "candidates", _cuts(begun.tree, 0, np.ones(len(sets), np.uint8)))
            every = np.arange(len(sets))
            cuts = NodeCuts(
                np.arange(ROWS, dtype=np.uint32),
                every.astype(np.uint32),
                np.zeros(len(sets), np.uint16),
                np.zeros(len(sets), bool),
            )
            sums.reply(f"{begun.tree}/0", codes, 3, [cuts], None)
            self._answer(party, begun.tree, sets, tried)

    def _answer(self, party: Party, tree: int, sets: list[list[int]], tried: list[int]) -> None:
        channel, guest = party.channel, party.guest
        while not (order := channel.receive(guest, "order", Order)).settled:
            asked = int(order.ask_candidates[0])
            side = np.zeros(ROWS, bool)
            side[sets[asked]] = True
            if asked < len(tried):
                self.found.append(tried[asked])
            channel.send(guest, "left", Left(tree, 0, bits.pack([side])))
        grown, depth = len(order.grown) * len(sets), 1
        nodes = len(order.grown)
        while nodes:
            channel.send(guest, "candidates", _cuts(tree, depth, np.zeros(grown, np.uint8)))
            order = channel.receive(guest, "order", Order)
            assert order.settled
            nodes, grown, depth = len(order.grown), 0, depth + 1


def _cuts(tree: int, depth: int, sent: np.ndarray) -> CandidateCuts:
    return CandidateCuts(tree, depth, sent)


@pytest.mark.parametrize("seed", [11, 15])
def test_partitions_that_a_host_makes_up_name_positive_rows(seed: int) -> None:
    """Lie: cuts for which no columns stand. The page states how much of the labels they show."""
    rng = np.random.default_rng(seed)
    label = (rng.random(ROWS) < 0.07).astype(float)
    own = rng.normal(size=(ROWS, 3))
    own[:, 0] += label
    host = MakingUp(rng.normal(size=ROWS) + 1.5 * label, COLUMNS * (2 * 32 - 1))
    parameters = BoostingParameters(trees=20, depth=3, implementation="ideal")

    def guest(party: Party) -> object:
        whole = replace(party, columns={"host": COLUMNS})
        return GuestTrainer(whole, BoostingInputs(own, tuple("abc"), label), parameters).run()

    done = run(PARTIES, {"guest": guest, "host": host.play}, seed=1)
    assert not done.errors
    assert len(host.found) >= 18
    assert label[host.found].all()
