"""Differential privacy between parties: what a row moves, the noise on sums, what ε is stated."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.channel import world
from atoll.channel.faulty import Fault
from atoll.channel.party import Party
from atoll.components.horizontal import work_of
from atoll.components.horizontal_shown import warnings_of
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.algorithms.dpsgd import clipped_sum
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Gaussian, Softmax
from atoll.learning.horizontal.parties import aggregator
from atoll.learning.horizontal.parties.client import Client, Work
from atoll.learning.horizontal.parties.once import drawn_once
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.parties.privacy import Privacy
from atoll.learning.horizontal.parties.reveals import sizes_of
from atoll.learning.horizontal.postprocess.api import Passage
from atoll.learning.horizontal.postprocess.noise import DistributedNoise
from atoll.learning.horizontal.sums import Update
from atoll.models.network.spec import NetworkSpec
from atoll.privacy.accounting.api import Relation, Release
from atoll.privacy.accounting.bounds import guarantee
from tests.learning.horizontal import tasks
from tests.learning.horizontal.attempts import Kept

CLIENTS = tuple(f"c{at}" for at in range(4))
ROLES = {"hub": Role.AGGREGATOR, **dict.fromkeys(CLIENTS, Role.CLIENT)}
SPEC = NetworkSpec(columns=12, family="softmax", classes=5)
DATA = {
    name: ClientRows(rows.rows.astype(np.float32), rows.targets)
    for name, rows in zip(CLIENTS, tasks.blobs(4, 400, 0.5), strict=True)
}
ROWS = {name: len(rows) for name, rows in DATA.items()}
ONE = Relation.ADD_OR_REMOVE


def work(privacy: Mapping[str, Any] | None = None, **chosen: Any) -> Work:
    given: dict[str, Any] = {
        "family": "softmax",
        "classes": 5,
        "rounds": 3,
        "algorithm": "fedsgd",
        "minimum_clients": 4,
        "privacy": {"epsilon": 3.0, **(privacy or {})},
    }
    parameters = HorizontalParameters(**{**given, **chosen})
    return work_of(parameters, SPEC, len(CLIENTS), ROWS)


def by_client(**privacy: Any) -> dict[str, Any]:
    """Return parameters that protect clients as a whole."""
    return {"privacy": {"unit": "client", **privacy}, "algorithm": "fedavg", "weighting": "equal"}


def refused(code: str, what: str | None = None) -> pytest.RaisesExc[AtollError]:
    return pytest.RaisesExc(AtollError, match=what, check=lambda error: error.code == code)


# -- what one row moves ---------------------------------------------------------------------------

MODELS: Sequence[Model] = (Linear(3, Softmax(4)), Linear(3, Gaussian()), MLP(3, (5,), Softmax(4)))
numbers = st.floats(-1e3, 1e3, width=32)


@given(
    st.sampled_from(range(len(MODELS))),
    st.lists(st.tuples(numbers, numbers, numbers, st.integers(0, 3)), min_size=1, max_size=8),
    st.tuples(numbers, numbers, numbers, st.integers(0, 3)),
    st.sampled_from([0.01, 1.0, 50.0]),
    st.integers(0, 24),
    st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_a_row_in_place_of_another_moves_the_sum_by_twice_the_clip_at_most(
    which: int, rows: list[Any], other: Any, clip: float, places: int, seed: int
) -> None:
    model, random = MODELS[which], np.random.default_rng(seed)
    weights = random.normal(size=model.layout.size) * 10.0 ** random.integers(-2, 3)
    changed = [*rows]
    changed[seed % len(rows)] = other
    most = clip * 2.0**places

    def summed(found: list[Any]) -> np.ndarray:
        x = np.array([row[:3] for row in found], np.float32)
        return clipped_sum(
            model, weights, ClientRows(x, np.array([row[3] for row in found])), clip, places
        )

    one, two, alone = summed(rows), summed(changed), summed([other])
    assert (one == np.rint(one)).all()
    assert np.linalg.norm(alone) <= most
    assert np.linalg.norm(one - two) <= 2 * most * (1 + 1e-12)


def test_a_row_without_finite_gradient_adds_nothing() -> None:
    model = Linear(2, Gaussian())
    rows = ClientRows(np.array([[3e38, 3e38], [1, 2]]) * 1e250, np.array([0.0, 1.0]))
    with np.errstate(over="ignore", invalid="ignore"):
        found = clipped_sum(model, np.ones(3), rows, 1.0, 10)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("model", MODELS)
def test_unclipped_rows_add_up_to_the_gradient(model: Model) -> None:
    random = np.random.default_rng(5)
    rows = ClientRows(random.normal(size=(9, 3)), random.integers(0, 4, 9))
    weights = random.normal(size=model.layout.size)
    mean = np.empty_like(weights)
    model.gradient_of(weights)(rows.rows, rows.targets, mean)
    found = clipped_sum(model, weights, rows, 1e6, 30) * 2.0**-30
    assert found == pytest.approx(9 * mean, abs=1e-7)


def test_clipped_rows_keep_their_direction_and_have_the_norm() -> None:
    model, rows = Linear(2, Gaussian()), ClientRows(np.array([[30.0, 40.0]]), np.array([0.0]))
    found = clipped_sum(model, np.ones(3), rows, 2.0, 20) * 2.0**-20
    assert np.linalg.norm(found) == pytest.approx(2, rel=1e-5)
    assert found[0] / found[1] == pytest.approx(0.75, rel=1e-4)


# -- the noise on a sum ---------------------------------------------------------------------------


def added(of: Work, seed: int) -> np.ndarray:
    """Return the noise of one round's sum over all clients, in clips."""
    links = [link for link in of.chain.links if isinstance(link, DistributedNoise)]
    whole = np.zeros(2000)
    for at in range(len(CLIENTS)):
        secret = SecretRandom.seeded(f"{seed} {at}".encode())
        passage = Passage({}, np.random.default_rng(0), {}, secret)
        whole += (
            links[0].client(Update({"gradient": np.zeros(2000)}, {}), passage).vectors["gradient"]
        )
    return whole / links[0].norm


@pytest.mark.parametrize(("colluding", "epsilon"), [(1, 3.0), (1, 0.3)])
def test_the_sum_of_those_who_must_stay_has_the_noise_without_the_colluders(
    colluding: int, epsilon: float
) -> None:
    of = work({"epsilon": epsilon, "colluding": colluding})
    assert of.private is not None
    noise = of.private.noise
    needed = guarantee(Release(noise.multiplier), 3, 1e-5, ONE).epsilon
    assert needed == pytest.approx(epsilon, rel=2e-3)
    deviation = float(np.std(np.concatenate([added(of, seed) for seed in range(10)])))
    # Four draw noise, and three of them are counted on.
    assert deviation == pytest.approx(noise.multiplier * math.sqrt(4 / 3), rel=0.03)


def test_fewer_who_must_stay_add_more_each() -> None:
    four, three = work(), work(minimum_clients=3)
    assert four.private is not None
    assert three.private is not None
    ratio = three.private.noise.units_each / 2.0**three.private.noise.places
    ratio /= four.private.noise.units_each / 2.0**four.private.noise.places
    assert ratio == pytest.approx(math.sqrt(3 / 2), rel=1e-6)


# -- what is stated -------------------------------------------------------------------------------


@pytest.mark.parametrize("relation", list(Relation))
@pytest.mark.parametrize("epsilon", [0.5, 3.0, 20.0])
def test_what_is_stated_is_the_accountants_figure_and_within_what_was_asked(
    epsilon: float, relation: Relation
) -> None:
    of = work({"epsilon": epsilon, "relation": relation, "delta": 1e-6}, rounds=30)
    assert of.private is not None
    spent = of.private.spent(30)
    found = guarantee(Release(of.private.noise.multiplier), 30, 1e-6, relation).epsilon
    assert spent.aggregator is not None
    assert spent.readers.epsilon == pytest.approx(found, rel=1e-6)
    assert spent.aggregator.epsilon == spent.readers.epsilon
    assert 0.99 * epsilon < spent.readers.epsilon <= epsilon
    assert (spent.readers.unit, spent.readers.delta) == ("row", 1e-6)


def test_planning_needs_no_library() -> None:
    script = """
import sys
sys.modules["dp_accounting"] = None
from atoll.components.horizontal import work_of
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.parties.privacy import Privacy
asked = Privacy(epsilon=3.0, relation="replace")
parameters = HorizontalParameters(algorithm="fedsgd", rounds=1000, privacy=asked)
of = work_of(parameters, parameters.spec(20), 3, {"a": 500, "b": 500, "c": 500})
print(of.private.spent(1000).readers.epsilon)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(3.0, rel=2e-3)


def test_noise_that_was_chosen_ends_the_rounds_at_the_budget() -> None:
    of = work({"epsilon": 2.0, "multiplier": 5.0}, rounds=100)
    assert of.private is not None
    assert 3 < of.rounds < 100
    assert guarantee(Release(5.0), of.rounds, 1e-5, ONE).epsilon <= 2.0
    assert guarantee(Release(5.0), of.rounds + 1, 1e-5, ONE).epsilon > 2.0
    assert of.private.spent(of.rounds).readers.epsilon <= 2.0
    with refused("ATL-HOR-073"):
        work({"epsilon": 0.1, "multiplier": 1.0})
    with refused("ATL-PRV-014"):
        work({"epsilon": 1e-5, "relation": "replace"}, rounds=1000)


def test_a_trusted_aggregator_has_no_bound() -> None:
    of = work({"noise": "central"})
    assert of.private is not None
    assert of.private.spent(3).aggregator is None


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"algorithm": "fedavg"}, "not clipped row by row"),
    ({"algorithm": "scaffold"}, "control variate"),
    ({"algorithm": "qfedavg"}, "weighed by losses"),
    ({"l2": 0.1}, "of no row"),
    ({"sum": "plain"}, "too little"),
    ({"sum": "plain", "privacy": {"epsilon": 1, "noise": "central"}}, "no bound"),
    ({"privacy": {"epsilon": 1, "noise": "local"}}, "without a mask"),
    ({"privacy": {"epsilon": 1, "colluding": 2}}, "colluding"),
    ({**by_client(epsilon=1), "algorithm": "fednova"}, "numbers of steps"),
    ({**by_client(epsilon=1), "algorithm": "fedsgd"}, "row counts"),
    ({**by_client(epsilon=1), "weighting": "rows"}, "row counts"),
]


@pytest.mark.parametrize(("chosen", "why"), REFUSED)
def test_what_is_not_sound_is_refused_with_the_reason(chosen: dict[str, Any], why: str) -> None:
    with refused("ATL-HOR-140", why):
        work(**chosen)


def test_rows_that_are_not_known_are_refused() -> None:
    parameters = HorizontalParameters(algorithm="fedsgd", privacy=Privacy(epsilon=1))
    with refused("ATL-HOR-144"):
        work_of(parameters, SPEC, 3, {"c0": 9, "c1": 0, "c2": 9})


def test_a_sum_that_no_grid_holds_is_refused() -> None:
    parameters = HorizontalParameters(algorithm="fedsgd", clip=1e9, privacy=Privacy(epsilon=1))
    with refused("ATL-HOR-143"):
        work_of(parameters, SPEC, 3, dict.fromkeys(CLIENTS, 10**12))
    wide = HorizontalParameters(algorithm="fedsgd", minimum_clients=3, privacy=Privacy(epsilon=1))
    large = work_of(wide, SPEC, 1000, dict.fromkeys(map(str, range(1000)), 10**6))
    assert large.adding.mask is not None
    assert large.adding.mask.ring == 64


@pytest.mark.parametrize(
    ("chosen", "what"),
    [
        ({}, "up to 1 of the clients"),
        ({"privacy": {"epsilon": 3.0, "delta": 0.01}}, "is large for 400 rows"),
        ({"privacy": {"epsilon": 3.0, "noise": "central"}}, "trusted with exact sums"),
        (by_client(epsilon=3.0), "little is learnt with few clients"),
    ],
)
def test_people_are_warned_of_what_it_means(chosen: dict[str, Any], what: str) -> None:
    of = work(**chosen)
    parameters = HorizontalParameters(family="softmax", classes=5, minimum_clients=4)
    warnings = warnings_of(sizes_of(of, parameters, 4), of.private, set())
    assert any(what in text for text in warnings)
    unit = "one row" if of.private.asked.unit == "row" else "one client"  # type: ignore[union-attr]
    assert f"differential privacy of {unit}" in warnings[0]


# -- between parties ------------------------------------------------------------------------------


def run(
    of: Work,
    *,
    faults: Mapping[str, Sequence[Fault]] | None = None,
    kept: Mapping[str, Any] | None = None,
    seed: int = 4,
    looked: dict[str, list[tuple[str, float, int]]] | None = None,
) -> world.World:
    def entry(party: Party) -> Any:
        if kept is not None:
            party = dataclasses.replace(party, checkpoints=kept[party.name])
        if looked is not None:
            points = looked.setdefault(party.name, [])

            def metric(name: str, value: float, at: int) -> None:
                points.append((name, value, at))

            party = dataclasses.replace(party, metric=metric)
        if party.role == Role.AGGREGATOR:
            return aggregator.run(party, of)
        client = Client(party, of, DATA[party.name], DATA[party.name])
        return client.run(), client.curve

    return world.run(
        ROLES,
        entry,
        seed=seed,
        faults=faults,
        reachable=lambda name: CLIENTS if name == "hub" else ("hub",),
    )


EVERY = {
    "distributed": work(rounds=4),
    "central": work({"noise": "central"}, rounds=4),
    "local": work({"noise": "local"}, sum="plain", rounds=4),
    "client": work(**by_client(epsilon=50.0), rounds=4),
    "scaffold": work(**{**by_client(epsilon=50.0), "algorithm": "scaffold"}, rounds=4),
}


@pytest.mark.parametrize("name", EVERY)
def test_no_figure_leaves_and_each_client_sees_its_own_curve(name: str) -> None:
    of, looked = EVERY[name], dict[str, list[tuple[str, float, int]]]()
    done = run(of, looked=looked).check()
    trained = done.results["hub"]
    assert trained.curve == []
    spent = [value for what, value, _ in looked["hub"] if what == "epsilon.readers"]
    assert spent == [of.private.spent(r).readers.epsilon for r in range(1, 5)]  # type: ignore[union-attr]
    assert spent == sorted(spent)
    seen = {what for what, _, _ in looked["hub"]}
    assert ("epsilon.aggregator" in seen) == (name != "central")
    assert not seen & {"loss", "accuracy"}
    for client in CLIENTS:
        weights, curve = done.results[client]
        assert np.array_equal(weights, trained.weights)
        assert [point.round for point in curve] == [0, 1, 2, 3, 4]
    assert np.isfinite(trained.weights).all()
    assert np.abs(trained.weights).max() > 0


def test_other_noise_in_another_run() -> None:
    one, other = (run(EVERY["distributed"], seed=s).check().results["hub"].weights for s in (4, 5))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", ["distributed", "central", "local", "scaffold"])
@pytest.mark.parametrize(("victim", "at"), [("hub", 60), ("c3", 17)])
def test_a_restart_draws_no_noise_again(tmp_path: Path, name: str, victim: str, at: int) -> None:
    of, kept = EVERY[name], Kept(tmp_path, ROLES)
    if name == "local":
        at //= 3
    cut = run(of, faults={victim: [Fault("kill", at)]}, kept=kept.attempt())
    if victim == "hub":
        assert "hub" not in cut.results
    # Secrets of the second attempt are others: what is the same was kept.
    again = run(of, kept=kept.attempt(), seed=4).check()
    whole = run(of, kept=Kept(tmp_path / "whole", ROLES).attempt()).check()
    assert np.array_equal(again.results["hub"].weights, whole.results["hub"].weights)
    for client in CLIENTS:
        assert again.results[client][1] == whole.results[client][1]


def test_noise_goes_to_one_vector_and_is_the_same_in_each_attempt(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ROLES)

    def drawn(name: str, source: bytes, seed: int) -> world.World:
        stores = kept.attempt()

        def entry(party: Party) -> bytes:
            party = dataclasses.replace(party, checkpoints=stores[party.name], step_id=b"s" * 32)
            return drawn_once(party, name, source).bytes(64)

        return world.run(ROLES, entry, seed=seed)

    one, other = b"a" * 32, b"b" * 32
    first, again, next_ = (
        drawn(name, one, seed).check().results
        for name, seed in (("one", 1), ("one", 2), ("two", 3))
    )
    assert first == again
    assert len({*first.values(), *next_.values()}) == 2 * len(ROLES)
    codes = {getattr(error, "code", "") for error in drawn("one", other, 4).errors.values()}
    assert codes == {"ATL-HOR-141"}


def test_an_aggregator_cannot_have_the_end_evaluated() -> None:
    of = EVERY["distributed"]
    asking = dataclasses.replace(of, private=None, evaluate_every=0)

    def entry(party: Party) -> Any:
        if party.role == Role.AGGREGATOR:
            return aggregator.run(party, asking)
        return Client(party, of, DATA[party.name], DATA[party.name]).run()

    done = world.run(
        ROLES, entry, seed=4, reachable=lambda name: CLIENTS if name == "hub" else ("hub",)
    )
    codes = {getattr(done.errors[client], "code", "") for client in CLIENTS}
    assert "ATL-HOR-082" in codes
    assert not done.results


def test_a_client_that_leaves_is_left_behind() -> None:
    of = work(minimum_clients=3, rounds=3)
    done = run(of, faults={"c2": [Fault("kill", 11)]})
    trained = done.results["hub"]
    assert set(trained.left) == {"c2"}
    for client in CLIENTS:
        if client != "c2":
            assert np.array_equal(done.results[client][0], trained.weights)
