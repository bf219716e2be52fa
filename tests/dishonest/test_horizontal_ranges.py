"""Clients whose plain updates are out of range, against an unchanged aggregator: each is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.components.horizontal import work_of
from atoll.core.names import Role
from atoll.learning.horizontal.features import Moments
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties import aggregator, step_aggregator
from atoll.learning.horizontal.parties.client import Client, Work
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.parties.step_client import StepClient
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.sums import Update
from tests.learning.horizontal import test_step_parties as steps
from tests.learning.horizontal.test_parties import CLIENTS, DATA, ROLES, SEED, SPEC

Lie = Callable[[Update], Update]
ROWS = {name: len(data) for name, data in DATA.items()}
OWN = ROWS["c0"]
NOTHING = ClientRows(DATA["c0"].rows[:0], DATA["c0"].targets[:0])


def work(**chosen: Any) -> Work:
    given: dict[str, Any] = {"family": "softmax", "classes": 5, "rounds": 2, "sum": "plain"}
    return work_of(HorizontalParameters(**given | chosen), SPEC, len(CLIENTS), ROWS)


class Liar(Client):
    """Changes what it hands in: ``before`` its chain, or ``after`` it."""

    before: Lie | None = None
    after: Lie | None = None

    def _passed(self, chain: Any, made: Update, passage: Any, round_: int) -> Update:
        lie = self.before if chain is self.work.chain else None
        if lie is None:
            return super()._passed(chain, made, passage, round_)
        return chain.client(lie(made), passage)  # type: ignore[no-any-return]

    def update(self, round_: int, train: bool, *given: Any, **more: Any) -> Update:
        made = super().update(round_, train, *given, **more)
        return self.after(made) if train and self.after is not None else made


def played(
    of: Work, *, before: Lie | None = None, after: Lie | None = None, plan: bool = True
) -> world.World:
    def entry(party: Party) -> Any:
        party = dataclasses.replace(party, rows=ROWS if plan else {})
        if party.role == Role.AGGREGATOR:
            return aggregator.run(party, of)
        data = DATA[party.name]
        if party.name != "c0":
            return Client(party, of, data, data).run()
        liar = Liar(party, of, data, data)
        liar.before, liar.after = before, after
        return liar.run()

    return world.run(
        ROLES, entry, seed=SEED, reachable=lambda name: CLIENTS if name == "hub" else ("hub",)
    )


def named(done: world.World) -> tuple[str, str | None]:
    error = done.errors["hub"]
    return getattr(error, "code", repr(error)), getattr(error, "party", "")


def times(factor: float, *vectors: str) -> Lie:
    """Return what makes values this many times the bound of 16 by weight."""

    def lie(update: Update) -> Update:
        of = update.numbers.get("weight", update.numbers.get("rows", OWN))
        made = dict(update.vectors)
        for name in vectors or made:
            made[name] = np.full_like(made[name], 16.0 * of * factor)
        return Update(made, update.numbers)

    return lie


def stated(**numbers: float) -> Lie:
    return lambda update: Update(update.vectors, {**update.numbers, **numbers})


def steps_of(factor: float) -> Lie:
    return lambda update: stated(steps=update.numbers["steps"] * factor)(update)


def normed(norm: float) -> Lie:
    """Return what makes an update of this norm, of small values."""

    def lie(update: Update) -> Update:
        made = {n: np.full_like(v, norm / np.sqrt(len(v))) for n, v in update.vectors.items()}
        return Update(made, update.numbers)

    return lie


NOVA: dict[str, Any] = {"algorithm": "fednova", "momentum": 0.5, "epochs": 2}
LIES: dict[str, tuple[dict[str, Any], Lie]] = {
    "ten times the bound": ({}, times(10)),
    "just above the bound": ({}, times(1 + 1e-6)),
    "near the end of float32": ({}, times(1e34)),
    "beyond float32": ({}, times(1e300)),
    "one value": ({}, lambda u: Update({"change": _one(u.vectors["change"])}, u.numbers)),
    "gradients": ({"algorithm": "fedsgd"}, times(10)),
    "weighed alike": ({"weighting": "equal"}, times(10)),
    "no weight, but values": ({}, stated(weight=0.0)),
    "negative weight": ({}, stated(weight=-float(OWN))),
    "more rows than the plan": ({}, stated(weight=OWN + 1.0)),
    "1e300 rows": ({}, stated(weight=1e300)),
    "half a row": ({}, stated(weight=OWN - 0.5)),
    "two clients": ({"weighting": "equal"}, stated(weight=2.0)),
    "negative rows evaluated": ({}, stated(**{"evaluated.rows": -1.0})),
    "more right than rows": ({}, stated(**{"evaluated.figure": 1e300})),
    "a loss of 1e308": ({}, stated(**{"evaluated.loss": 1e308})),
    "a normaliser of 1e308": ({"algorithm": "qfedavg"}, stated(scale=1e308)),
    "near the end of float32, by a normaliser": (
        {"algorithm": "qfedavg"},
        lambda u: stated(scale=1e38)(times(1e34)(u)),
    ),
    "too many steps": (NOVA, steps_of(10)),
    "1e300 steps": (NOVA, steps_of(1e300)),
    "fewer steps than one": (NOVA, stated(steps=1.0)),
    "values of one step, many stated": (NOVA, times(1)),
    "control variates": ({"algorithm": "scaffold"}, times(100, "control")),
    "counted twice": ({"algorithm": "scaffold"}, stated(count=2.0)),
    "no clients": ({"algorithm": "scaffold"}, stated(clients=0.0)),
    "a small normaliser": ({"algorithm": "qfedavg"}, stated(scale=1e-9)),
    "a negative normaliser": ({"algorithm": "qfedavg"}, stated(scale=-1e9)),
    "longer than the clip": ({"clip": 5.0}, normed(10.0)),
    "1e9 times the noise": (
        {"privacy": {"epsilon": 8.0, "unit": "client", "noise": "local"}, "weighting": "equal"},
        times(1e9),
    ),
    "values under a rule": ({"rule": "median", "minimum_clients": 5}, times(10)),
}


def _one(vector: np.ndarray) -> np.ndarray:
    made = vector.copy()
    made[-1] = -160.0 * OWN
    return made


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("name", LIES)
def test_an_update_out_of_range_ends_the_step_with_the_clients_name(name: str) -> None:
    chosen, lie = LIES[name]
    assert named(played(work(**chosen), after=lie)) == ("ATL-HOR-081", "c0")


CODED: list[dict[str, Any]] = [
    {"compression": "random_k"},
    {"compression": "top_k"},
    {"compression": "quantised", "compression_bits": 1},
    {"compression": "quantised", "compression_bits": 8, "clip": 1.0},
    {"compression": "rotated", "compression_bits": 4, "clip": 1.0},
    {"compression": "rotated"},
]


@pytest.mark.parametrize("chosen", CODED, ids=lambda c: "-".join(map(str, c.values())))
def test_a_compressed_update_out_of_range_ends_the_step_with_the_clients_name(
    chosen: dict[str, Any],
) -> None:
    of, clipped = work(**chosen), "clip" in chosen
    lie, unclipped = normed(1e4) if clipped else times(100), Chain(of.chain.links[clipped:])

    class Unclipped(Liar):
        def _passed(self, chain: Any, made: Update, passage: Any, round_: int) -> Update:
            if chain is not of.chain:
                return super()._passed(chain, made, passage, round_)
            return unclipped.client(lie(made), passage)

    def entry(party: Party) -> Any:
        party = dataclasses.replace(party, rows=ROWS)
        if party.role == Role.AGGREGATOR:
            return aggregator.run(party, of)
        kind = Unclipped if party.name == "c0" else Client
        return kind(party, of, DATA[party.name], DATA[party.name]).run()

    done = world.run(
        ROLES, entry, seed=SEED, reachable=lambda name: CLIENTS if name == "hub" else ("hub",)
    )
    assert named(done) == ("ATL-HOR-081", "c0")


HONEST: list[dict[str, Any]] = [
    *({"algorithm": name} for name in ("fedavg", "fedsgd", "scaffold", "fednova", "qfedavg")),
    {**NOVA, "weighting": "equal"},
    {"clip": 1e-3},
    {"bound": 1e-3},
    {"bound": 1e-3, "algorithm": "qfedavg"},
    {"bound": 1e-3, "algorithm": "scaffold"},
    {"bound": 1e-3, **NOVA},
    {"privacy": {"epsilon": 8.0, "unit": "client", "noise": "local"}, "weighting": "equal"},
    *CODED,
    {"compression": "top_k", "compression_share": 0.02, "bound": 1e-2},
    {"compression": "quantised", "compression_bits": 2, "bound": 1e-3},
]


@pytest.mark.parametrize("plan", [True, False], ids=["planned", "unplanned"])
@pytest.mark.parametrize("chosen", HONEST, ids=lambda c: "-".join(map(str, c.values())))
def test_no_honest_client_is_refused(chosen: dict[str, Any], plan: bool) -> None:
    played(work(**{"rounds": 6, **chosen}), plan=plan).check()


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold", "fednova", "qfedavg", "fedsgd"])
def test_no_honest_client_is_refused_under_masks(algorithm: str) -> None:
    for bound in (16.0, 1e-3):
        played(work(sum="masked", algorithm=algorithm, bound=bound)).check()


@pytest.mark.parametrize(
    ("algorithm", "lie"),
    [
        ("qfedavg", stated(scale=-1e6)),
        ("scaffold", stated(clients=0.0)),
        ("fednova", stated(steps=1e9)),
    ],
)
def test_a_masked_sum_out_of_range_ends_the_step_without_a_name(algorithm: str, lie: Lie) -> None:
    of = work(sum="masked", algorithm=algorithm)
    assert named(played(of, before=lie)) == ("ATL-HOR-054", None)


def test_what_the_page_states_of_a_client_that_fills_its_bound() -> None:
    """The mean change of a weight is the bound times its share of the rows."""
    of = work(rounds=1)
    honest, filled = (played(of, after=lie).check().results["hub"].weights for lie in (None, FILL))
    moved = np.abs(filled.astype(np.float64) - honest).max()
    assert 0.5 * 16.0 * OWN / sum(ROWS.values()) < moved < 16.0


FILL = times(1)


def test_what_the_page_states_of_an_update_of_an_earlier_round() -> None:
    """It is one within its range, and taken as such."""
    first: list[Update] = []

    def again(update: Update) -> Update:
        first.append(update)
        return first[0]

    honest, replayed = (played(work(), after=lie).check() for lie in (None, again))
    one, other = (done.results["hub"].weights for done in (honest, replayed))
    assert len(first) == 2
    assert 0 < np.abs(one - other).max() < 16.0 * OWN / sum(ROWS.values())


@pytest.mark.parametrize("sum_", ["plain", "masked"])
@pytest.mark.parametrize("algorithm", ["fedavg", "fedsgd", "fednova", "qfedavg", "scaffold"])
def test_a_round_in_which_no_client_weighs_anything_ends_the_step(
    sum_: str, algorithm: str
) -> None:
    of = work(sum=sum_, algorithm=algorithm)

    def entry(party: Party) -> Any:
        if party.role == Role.AGGREGATOR:
            return aggregator.run(party, of)
        return Client(party, of, NOTHING, NOTHING).run()

    done = world.run(
        ROLES, entry, seed=SEED, reachable=lambda name: CLIENTS if name == "hub" else ("hub",)
    )
    assert named(done)[0] == "ATL-HOR-055"


# Steps over clients' sums.

SUM_LIES: dict[str, tuple[Any, Callable[[Update, float], Update]]] = {
    "more rows than the plan": (steps.STEP, lambda u, n: stated(rows=n + 1)(u)),
    "1e300 rows": (steps.STEP, lambda u, n: stated(rows=1e300)(u)),
    "negative rows": (steps.STEP, lambda u, n: stated(rows=-n)(u)),
    "a negative count": (steps.STEP, lambda u, n: _changed(u, "counts", -1.0)),
    "a count above the rows": (steps.STEP, lambda u, n: _changed(u, "counts", n + 1)),
    "a count of 1e300": (steps.STEP, lambda u, n: _changed(u, "counts", 1e300)),
    "a missing value more": (steps.STEP, lambda u, n: _changed(u, "missing", 1.0)),
    "labels below 0": (steps.STEP, lambda u, n: _changed(u, "labels", -n)),
    "a gradient without a row": (steps.STEP, lambda u, n: _changed(u, "sums", n)),
    "a gradient of 1e300": (steps.STEP, lambda u, n: _changed(u, "sums", 1e300)),
    "a negative loss": (steps.STEP, lambda u, n: stated(loss=-1.0)(u)),
    "a loss of 1e308": (steps.STEP, lambda u, n: stated(loss=1e308)(u)),
    "powers": (Moments(), lambda u, n: _changed(u, "powers", 17.0 * n)),
    "present and missing": (Moments(), lambda u, n: _changed(u, "present", 2.0)),
}


def _changed(update: Update, name: str, by: float) -> Update:
    """Add to the last value of a vector, or of the gradients among sums."""
    if name not in update.vectors:
        return update
    made = np.array(update.vectors[name])
    made[len(made) // 3 - 1 if name == "sums" else -1] += by
    return Update({**update.vectors, name: made}, update.numbers)


@pytest.mark.parametrize("name", SUM_LIES)
def test_sums_that_cannot_be_of_a_clients_rows_end_the_step_with_its_name(name: str) -> None:
    step, lie = SUM_LIES[name]
    of, rows = steps.work(step), {n: len(data) for n, data in steps.DATA.items()}

    class Lying(StepClient):
        def update(self, round_: int, sent: Any) -> Update:
            made = super().update(round_, sent)
            if "loss" in name and "loss" not in made.numbers:
                return made
            return lie(made, float(rows["c0"]))

    def entry(party: Party) -> Any:
        party = dataclasses.replace(party, rows=rows)
        if party.role == Role.AGGREGATOR:
            return step_aggregator.run(party, of, steps.of_state(step))
        kind = Lying if party.name == "c0" else StepClient
        return kind(party, of, steps.DATA[party.name]).run()

    done = world.run(
        ROLES, entry, seed=SEED, reachable=lambda name: CLIENTS if name == "hub" else ("hub",)
    )
    assert named(done) == ("ATL-HOR-081", "c0")


@pytest.mark.parametrize("sum_", ["plain", "masked"])
def test_a_step_over_no_rows_ends_with_a_code(sum_: str) -> None:
    of = steps.work(steps.STEP, sum_)
    nothing = ClientRows(steps.X[:0], steps.Y[:0])
    done = steps.run(of, data=dict.fromkeys(CLIENTS, nothing))
    assert named(done)[0] == "ATL-HOR-055"
