"""Draws of rows and columns that a partner foresaw, against the shipped code of their owners.

Which rows a tree or a step takes, and which columns, followed from the joint coin toss. So sums
were equations in known rows, and cuts had the names of their columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.own_seed import own_random
from atoll.channel.party import Party
from atoll.components.horizontal import HorizontalTrainingParameters
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.core.random import PublicRandom
from atoll.flow.work.checkpoints import FileCheckpoints
from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.boosting import Boosting
from atoll.learning.horizontal.boosting import result as results
from atoll.learning.horizontal.local import ClientRows, LocalTraining, train
from atoll.learning.horizontal.models.build import model_of
from atoll.learning.horizontal.parties import step_aggregator
from atoll.learning.horizontal.parties.client import Client
from atoll.learning.horizontal.parties.step_client import StepClient
from atoll.learning.horizontal.parties.step_work import StepWork, Summed
from atoll.learning.vertical.boosting import BoostingParameters
from atoll.learning.vertical.boosting.host import HostTrainer
from atoll.models.network.spec import NetworkSpec
from tests.dishonest.boosting_liars import HOST, SEATS, two_tables
from tests.learning.horizontal import test_parties as training

NAMES = ("c0", "c1", "c2")
ROLES = {"hub": Role.AGGREGATOR, **dict.fromkeys(NAMES, Role.CLIENT)}
ROWS, COLUMNS = 60, 2


def tables(seed: int = 0) -> dict[str, ClientRows]:
    rng = np.random.default_rng(seed)
    return {
        name: ClientRows(rng.normal(size=(ROWS, COLUMNS)), rng.integers(0, 2, ROWS) * 1.0)
        for name in NAMES
    }


def grown(step: Boosting, data: dict[str, ClientRows], liar: Boosting | None = None) -> world.World:
    """Grow trees at honest clients; the aggregator may play another step than theirs."""

    def work(of: Boosting) -> StepWork:
        rows = dict.fromkeys(NAMES, ROWS)
        return StepWork.of(of, COLUMNS, Summed(), NAMES, rows)

    def entry(party: Party) -> Any:
        if party.name != "hub":
            client = StepClient(party, work(step), data[party.name])
            client.run()
            return client
        last = lambda state: results.result(step, state)  # noqa: E731
        return step_aggregator.run(party, work(liar or step), last)

    return world.run(ROLES, entry, seed=3)


class _Watching(Boosting):
    """Keeps the counts of the rows by bin that it opens anyway."""

    def _grow(self, state: State, total: Any) -> State:
        tree, level = (int(value) for value in state.vectors["at"])
        if level == 0:
            sums = total.vectors["sums"].reshape(3, COLUMNS, -1)
            _SEEN[tree] = (sums[2].copy(), np.array(state.vectors["thresholds"]))
        return super()._grow(state, total)


_SEEN: dict[int, Any] = {}


def test_an_aggregator_does_not_know_which_rows_a_tree_is_grown_from() -> None:
    """It derives each client's sample from the common seed, as the client did, and counts its bins.

    The counts were those of the sum in every tree: 420 of them gave every row, with its owner.
    Now each client draws by a seed of its own, and they are those of no tree.
    """
    chosen: dict[str, Any] = {"trees": 8, "depth": 1, "bins": 8, "row_sample": 0.5}
    step = Boosting(**chosen, cells=32, sketch_rounds=1)
    data = tables()
    _SEEN.clear()
    known: list[PublicRandom] = []
    done = grown(step, data, _Watching(**step.model_dump()))
    done.check()
    world.run(ROLES, lambda party: known.append(party.public_rng), seed=3).check()
    assert len(_SEEN) == step.trees
    alike = 0
    for tree, (counts, thresholds) in _SEEN.items():
        assert counts.sum() == COLUMNS * len(NAMES) * ROWS // 2
        edges = thresholds.reshape(COLUMNS, -1)
        guess = np.zeros_like(counts)
        for number, name in enumerate(NAMES):
            generator = known[0].generator(f"client {number}", 2, "training")
            salt = generator.integers(1 << 53, size=2) * 1.0
            rows = data[name].rows[step._sampled(salt, tree, ROWS)]
            for column in range(COLUMNS):
                at = np.searchsorted(edges[column], rows[:, column], side="left")
                guess[column] += np.bincount(at, minlength=counts.shape[1])
        alike += np.array_equal(guess, counts)
    assert alike == 0


def test_a_row_sample_is_no_smaller_than_a_table_may_be() -> None:
    """A share of 1/300 left one row in the sum of three clients: its values and its label."""

    class Few(Boosting):
        @property
        def fewest(self) -> int:
            return 10

    step = Few(row_sample=1 / 300)
    assert len(step._sampled(np.array([1.0, 2.0]), 0, ROWS)) == 10
    assert len(step._sampled(np.array([1.0, 2.0]), 0, 4)) == 4


class _Raising(Boosting):
    """Sends margins ever higher: a client whose least label is so far below left the step."""

    def message(self, state: State) -> Vectors:
        sent = dict(super().message(state))
        if "base" in sent and "at" in sent:
            sent["base"] = np.array([100.0])
        return sent


def test_no_client_fails_by_margins_beyond_the_bound_of_its_labels() -> None:
    """The tree at which a client left named its least label to a step of the margins: 14.29..14.44.

    Now its gradients are cut to the bound, all stay, and its own report alone has the rounds.
    """
    step = Boosting(loss="squared", bound=2.0, trees=2, depth=1, bins=8, cells=32, sketch_rounds=1)
    done = grown(step, tables(), _Raising(**step.model_dump())).check()
    assert done.results["hub"].left == {}
    for name in NAMES:
        assert set(done.results[name].cut.values()) == {"ATL-HOR-104"}


def test_no_one_knows_the_row_that_local_training_took_last() -> None:
    """Where training forgets, an update is the gradient of its last row: 32 rows in 60 rounds.

    Which row that is followed from the common seed. Now the guess is right as often as chance.
    """
    of = training.work(algorithm="fedprox", proximal=1000.0, learning_rate=1e-3, batch_size=1)
    rounds, updates = 30, {}
    known: list[PublicRandom] = []

    def entry(party: Party) -> None:
        known.append(party.public_rng)
        if party.name == "c0":
            data = training.DATA["c0"]
            client = Client(party, of, data, data)
            for round_ in range(rounds):
                updates[round_] = client.update(round_, True, of.start(party))

    world.run(training.ROLES, entry, seed=training.SEED).check()
    data, right = training.DATA["c0"], 0
    for round_, update in updates.items():
        last = known[0].generator("client 0", round_, "training").permutation(len(data))[-1]
        change = update.vectors["change"]
        change = change[: 12 * 5].reshape(12, 5)
        row = data.rows[last]
        # Each class's part is the row times a number: of one row alone, where the guess is right.
        residual = change - np.outer(row, row @ change) / (row @ row)
        right += np.linalg.norm(residual) < 0.05 * np.linalg.norm(change)
    assert right < rounds / 3


FORGETS = (
    {"algorithm": "fedprox", "proximal": 1000.0, "learning_rate": 1e-3, "batch_size": 1},
    {"l2": 10.0, "batch_size": 5},
    {"l2": 25.0, "batch_size": 2},
)


@pytest.mark.parametrize("chosen", FORGETS, ids=str)
def test_a_plan_refuses_training_that_forgets_all_but_few_rows(chosen: dict[str, Any]) -> None:
    """The plan stated 10 rows, and updates followed from one."""
    with pytest.raises(AtollError) as caught:
        HorizontalTrainingParameters(**chosen).of_few_rows("train")
    assert caught.value.code == "ATL-HOR-166"
    assert not HorizontalTrainingParameters(**{**chosen, "batch_size": 10}).of_few_rows("train")
    assert not HorizontalTrainingParameters(**chosen, minimum_rows=1).of_few_rows("train")
    (warned,) = HorizontalTrainingParameters(batch_size=5).of_few_rows("train")
    assert "batch_size 10" in warned


def test_a_last_batch_of_fewer_rows_goes_into_the_one_before() -> None:
    """With 41 rows in batches of 20 an update with l2 10 was the gradient of its 41st row."""
    rows = np.arange(41.0)[:, None]
    data = ClientRows(rows, rows[:, 0])

    def sizes(**chosen: int) -> list[int]:
        local = LocalTraining(batch_size=20, fewest=10, **chosen)
        drawn = list(local.batches(data, np.random.default_rng(0)))
        if chosen.get("steps", 4) == 4:
            both = np.concatenate([batch.rows for batch in drawn[:2]])[:, 0]
            assert sorted(both) == list(range(41))
        return [len(batch) for batch in drawn]

    assert sizes(epochs=2) == [20, 21, 20, 21]
    assert sizes(epochs=2, steps=3) == [20, 21, 20]
    assert sizes(steps=1) == [20]
    model = model_of(NetworkSpec(columns=12, family="softmax", classes=5))
    some = max(training.DATA.values(), key=len)
    assert len(some) > 41
    some = ClientRows(some.rows[:41], some.targets[:41])
    local = LocalTraining(batch_size=20, fewest=10, epochs=2)
    start = model.initial(np.random.default_rng(0))
    one, other = start.copy(), start.copy()
    # The second takes no native step.
    counts = (
        train(model, one, some, local, np.random.default_rng(1)),
        train(model, other, some, local, np.random.default_rng(1), lambda gradient, weights: None),
    )
    assert counts == (4, 4)
    assert np.allclose(one, other, rtol=0, atol=1e-5)
    assert not np.array_equal(one, start)


def _columns(public: PublicRandom, secret: int | None = None) -> list[list[int]]:
    """Return the columns that a host samples in each of some trees."""
    parameters = BoostingParameters(trees=8, column_sample=0.4, implementation="ideal")
    found: list[list[int]] = []

    def entry(party: Party) -> None:
        if party.name == HOST:
            inputs = two_tables(200)[HOST]
            trainer: Any = HostTrainer(replace(party, public_rng=public), inputs, parameters)
            trainer._sums = _Nothing()
            for tree in range(parameters.trees):
                trainer._begin(tree)
                found.append(trainer._columns.tolist())

    world.run(SEATS, entry, seed=secret).check()
    return found


class _Nothing:
    def receive(self, *_: Any) -> None:
        pass


def test_a_host_samples_columns_that_the_common_seed_does_not_give() -> None:
    """By them a guest named the column of 167 of 168 cuts: it knew which columns a tree has."""
    tossed, fixed = PublicRandom(b"t" * 32), PublicRandom(b"f" * 32, fixed=True)
    assert len({str(_columns(tossed)) for _ in range(3)}) == 3
    assert _columns(fixed) == _columns(fixed)


@pytest.mark.parametrize("fixed", [False, True])
def test_own_draws_repeat_after_a_crash_and_are_of_one_seat(tmp_path: Path, fixed: bool) -> None:
    """A second draw over the same rows would be another look at them."""
    drawn: dict[tuple[str, str], int] = {}

    def of(folder: str, values: float = 0.0) -> Callable[[Party], None]:
        def entry(party: Party) -> None:
            kept = FileCheckpoints(tmp_path / folder, party.name, ("plan",))
            kept.enter(None, bytes(32))
            public = PublicRandom(b"p" * 32, fixed=fixed)
            mine = replace(party, checkpoints=kept, public_rng=public)
            own = own_random(mine, "rows", lambda: [np.full(3, values)])
            drawn[folder, party.name] = int(own.generator("s", 0, "d").integers(1 << 60))

        return entry

    world.run(ROLES, of("run")).check()
    first = dict(drawn)
    assert len(set(first.values())) == len(ROLES)
    world.run(ROLES, of("run")).check()
    assert drawn == first
    # Another run draws others, unless the job fixes its seed: then others' data give others.
    world.run(ROLES, of("new")).check()
    assert (drawn["new", "c0"] == first["run", "c0"]) is fixed
    world.run(ROLES, of("other", 1.0)).check()
    assert drawn["other", "c0"] not in set(first.values())
