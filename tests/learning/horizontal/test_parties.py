"""Training between parties: the same as simulated, whoever leaves, whoever restarts."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.faulty import Fault
from atoll.channel.party import Party
from atoll.core.names import Role
from atoll.core.random import PublicRandom
from atoll.flow.work.checkpoints import FileCheckpoints
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.build import model_of
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.parties import aggregator
from atoll.learning.horizontal.parties.adding import Adding
from atoll.learning.horizontal.parties.aggregator import Trained
from atoll.learning.horizontal.parties.client import Client, Work
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.robust import Rule, RuleName, rule_named
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.training import Training
from atoll.models.network.spec import NetworkSpec
from tests.learning.horizontal import tasks
from tests.learning.horizontal.attempts import Kept

CLIENTS = tuple(f"c{at}" for at in range(5))
ROLES = {"hub": Role.AGGREGATOR, **dict.fromkeys(CLIENTS, Role.CLIENT)}
SEED = 4
PUBLIC = PublicRandom(hashlib.sha256(f"atoll/world/v1/{SEED}".encode()).digest())
OWN = tasks.own_of(SEED, CLIENTS)
SPEC = NetworkSpec(columns=12, family="softmax", classes=5)
DATA = {
    name: ClientRows(rows.rows.astype(np.float32), rows.targets)
    for name, rows in zip(CLIENTS, tasks.blobs(5, 300, 0.5), strict=True)
}


def work(sum_: str = "plain", **chosen: Any) -> Work:
    given: dict[str, Any] = {"family": "softmax", "classes": 5, "rounds": 3} | chosen
    parameters = HorizontalParameters(sum=sum_, **given)  # type: ignore[arg-type]
    mask = parameters.mask(len(CLIENTS), max(map(len, DATA.values())))
    chain = parameters.chain(mask)
    return Work(
        model_of(SPEC),
        parameters.trained_by(),
        chain,
        Adding(mask, parameters.minimum_clients, parameters.combine(chain, len(CLIENTS))),
        parameters.rounds,
        parameters.evaluate_every,
        parameters.minimum_clients,
        classifies=True,
        bound=parameters.bound,
    )


def run(
    of: Work,
    *,
    faults: Mapping[str, Sequence[Fault]] | None = None,
    kept: Mapping[str, FileCheckpoints] | None = None,
) -> world.World:
    def entry(party: Party) -> Any:
        if kept is not None:
            party = dataclasses.replace(party, checkpoints=kept[party.name])
        if party.role == Role.AGGREGATOR:
            return aggregator.run(party, of)
        return Client(party, of, DATA[party.name], DATA[party.name]).run()

    return world.run(
        ROLES,
        entry,
        seed=SEED,
        faults=faults,
        reachable=lambda name: CLIENTS if name == "hub" else ("hub",),
    )


def weights(done: world.World) -> np.ndarray:
    found: Trained = done.results["hub"]
    return found.weights


def simulated(of: Work, rule: Rule | None = None) -> np.ndarray:
    """Return the weights of the same training in a simulation."""
    data = list(DATA.values())
    clients = SimulatedClients(
        of.algorithm,
        of.model,
        len(data),
        data.__getitem__,
        PUBLIC,
        chain=of.chain,
        rule=rule,
        own=OWN,
    )
    start = of.algorithm.start(of.model.initial(PUBLIC.generator("horizontal", 0, "weights")))
    training = Training(of.algorithm, Participation(method="all"), of.rounds)
    return training.run(start, clients, PUBLIC).weights


@pytest.mark.parametrize(
    "chosen",
    [{}, {"algorithm": "scaffold"}, {"algorithm": "fednova", "momentum": 0.5}, {"clip": 0.5}],
    ids=lambda chosen: str(chosen.get("algorithm", "clip" if chosen else "fedavg")),
)
def test_parties_and_the_simulation_give_the_same_bits(chosen: dict[str, Any]) -> None:
    of = work(**chosen)
    done = run(of).check()
    assert np.array_equal(weights(done), simulated(of))
    for name in CLIENTS:
        assert np.array_equal(done.results[name], weights(done))


@pytest.mark.parametrize("name", ["median", "trimmed_mean", "krum", "multi_krum"])
def test_a_robust_rule_gives_the_same_bits_between_parties(name: RuleName) -> None:
    of = work(rule=name, minimum_clients=5)
    done = run(of).check()
    assert np.array_equal(weights(done), simulated(of, rule_named(name)))
    assert not np.array_equal(weights(done), simulated(of))
    assert [point.clients for point in done.results["hub"].curve] == [5] * 4


def test_a_robust_rule_goes_on_without_a_client_that_dies() -> None:
    of = work(rule="median")
    done = run(of, faults={"c2": [Fault("kill", 9)]})
    assert set(done.results["hub"].left) == {"c2"}
    assert np.isfinite(weights(done)).all()


def test_masks_change_nothing_but_the_rounding() -> None:
    plain, masked = run(work()).check(), run(work("masked")).check()
    assert np.array_equal(weights(masked), simulated(work("masked")).astype(np.float32))
    assert np.abs(weights(plain) - weights(masked)).max() < 1e-6
    one, other = (d.results["hub"].curve for d in (plain, masked))
    assert [point.figure for point in one] == [point.figure for point in other]


@pytest.mark.parametrize("sum_", ["plain", "masked"])
def test_the_curve_is_of_all_clients_rows(sum_: str) -> None:
    done = run(work(sum_, evaluate_every=2)).check()
    curve = done.results["hub"].curve
    assert [point.round for point in curve] == [0, 2, 3]
    assert curve[-1].figure > curve[0].figure
    rows = np.concatenate([data.rows for data in DATA.values()])
    labels = np.concatenate([data.targets for data in DATA.values()])
    found = model_of(SPEC).predict(weights(done), rows).argmax(axis=1)
    assert curve[-1].figure == pytest.approx((found == labels).mean())


@pytest.mark.parametrize("sum_", ["plain", "masked"])
@pytest.mark.parametrize("at", [1, 4, 7, 11, 16])
def test_a_client_that_dies_anywhere_is_left_behind(sum_: str, at: int) -> None:
    done = run(work(sum_), faults={"c2": [Fault("kill", at)]})
    assert set(done.results["hub"].left) <= {"c2"}
    for name in CLIENTS:
        if name != "c2":
            assert np.array_equal(done.results[name], weights(done))


def test_too_few_that_are_left_end_it() -> None:
    faults = {name: [Fault("kill", 9)] for name in CLIENTS[:3]}
    done = run(work("masked", minimum_clients=3), faults=faults)
    assert getattr(done.errors["hub"], "code", "") in {"ATL-NET-048", "ATL-SUM-012"}
    assert not done.results


@pytest.mark.parametrize("sum_", ["plain", "masked"])
@pytest.mark.parametrize("victim", ["hub", "c3"])
def test_a_restart_gives_the_same_bits(tmp_path: Path, sum_: str, victim: str) -> None:
    of = work(sum_, algorithm="scaffold", rounds=4, minimum_clients=5)
    kept = Kept(tmp_path, ROLES)
    cut = run(
        of, faults={victim: [Fault("kill", 60 if victim == "hub" else 17)]}, kept=kept.attempt()
    )
    assert "hub" not in cut.results
    again = run(of, kept=kept.attempt()).check()
    assert np.array_equal(weights(again), weights(run(of).check()))
    assert [point.round for point in again.results["hub"].curve] == [0, 1, 2, 3, 4]
