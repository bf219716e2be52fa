"""Steps between parties: the same as simulated, whoever leaves, whoever restarts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from atoll.channel import world
from atoll.channel.faulty import Fault
from atoll.channel.party import Party
from atoll.core.names import Role
from atoll.flow.work.checkpoints import FileCheckpoints
from atoll.learning.horizontal.algorithm import State
from atoll.learning.horizontal.boosting import Boosting, Forest
from atoll.learning.horizontal.boosting.result import received_forest, result
from atoll.learning.horizontal.clustering import KMeans
from atoll.learning.horizontal.features import BinCounts, Moments, TableColumns, run_step
from atoll.learning.horizontal.features.api import PartyStep
from atoll.learning.horizontal.features.scaling import by_mean, from_vectors, scaling, to_vectors
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties import step_aggregator
from atoll.learning.horizontal.parties.step_aggregator import Stepped
from atoll.learning.horizontal.parties.step_client import StepClient
from atoll.learning.horizontal.parties.step_work import StepWork, Summed
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.models.scaling import ScalePart
from tests.learning.horizontal.attempts import Kept
from tests.learning.horizontal.boosting.test_boosting import reference, same, small
from tests.learning.horizontal.pooled import parts
from tests.learning.horizontal.test_parties import CLIENTS, OWN, PUBLIC, ROLES, SEED

SUMS = ("plain", "masked")
STEP = Boosting(trees=3, depth=2, bins=8, cells=32, sketch_rounds=2)
X, Y = small()
DATA = dict(zip(CLIENTS, parts(X, Y, [200, 1, 99, 150]), strict=True))
COLUMNS = X.shape[1]


def work(step: PartyStep = STEP, sum_: str = "plain", minimum: int = 3) -> StepWork:
    summed = Summed(sum=sum_, minimum_clients=minimum)  # type: ignore[arg-type]
    rows = {name: len(data) for name, data in DATA.items()}
    return StepWork.of(step, COLUMNS, summed, CLIENTS, rows)


def fitted(step: Moments, state: State, names: tuple[str, ...]) -> ScalePart:
    described = step.result(state)
    return scaling("all", names, described, fill=by_mean(described))


def of_state(step: PartyStep) -> Any:
    """Return what the aggregator sends in the end."""
    if isinstance(step, Boosting):
        return lambda state: result(step, state)
    if isinstance(step, BinCounts | KMeans):
        return lambda state: step.result(state).vectors()
    assert isinstance(step, Moments)
    names = tuple(map(str, range(COLUMNS)))
    return lambda state: to_vectors(fitted(step, state, names))


def run(
    of: StepWork,
    *,
    data: Mapping[str, ClientRows] = DATA,
    faults: Mapping[str, Sequence[Fault]] | None = None,
    kept: Mapping[str, FileCheckpoints] | None = None,
) -> world.World:
    def entry(party: Party) -> Any:
        if kept is not None:
            party = dataclasses.replace(party, checkpoints=kept[party.name])
        if party.role == Role.AGGREGATOR:
            return step_aggregator.run(party, of, of_state(of.step))
        return StepClient(party, of, data[party.name]).run()

    return world.run(
        ROLES,
        entry,
        seed=SEED,
        faults=faults,
        reachable=lambda name: CLIENTS if name == "hub" else ("hub",),
    )


def simulated(step: PartyStep, data: Sequence[ClientRows] = tuple(DATA.values())) -> Any:
    columns = data[0].rows.shape[1]
    clients = SimulatedClients(
        step, TableColumns(columns), len(data), list(data).__getitem__, PUBLIC, own=OWN
    )
    return run_step(step, clients, columns, PUBLIC)


def forests(done: world.World, step: Boosting = STEP) -> list[Forest]:
    """Return the clients' models."""
    found = [done.results[name] for name in CLIENTS if name in done.results]
    return [received_forest(step, sent, COLUMNS) for sent in found]


def alike(one: Forest, two: Forest) -> bool:
    return np.array_equal(one.base, two.base) and all(
        np.array_equal(one.vectors[name], two.vectors[name]) for name in one.vectors
    )


@pytest.mark.parametrize("sum_", SUMS)
@pytest.mark.parametrize("row_sample", [1.0, 0.6])
def test_parties_grow_the_trees_of_the_simulation(sum_: str, row_sample: float) -> None:
    step = STEP.model_copy(update={"row_sample": row_sample})
    done = run(work(step, sum_)).check()
    found: Stepped = done.results["hub"]
    expected = simulated(step)
    assert expected.vectors["tree.gain"].any()
    assert same(found.state, expected)
    assert found.left == {}
    own = forests(done, step)
    assert len(own) == len(CLIENTS)
    assert all(alike(forest, step.forest(expected)) for forest in own)
    assert np.array_equal(own[0].predict(X), step.forest(expected).predict(X))


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_other_losses_are_summed_as_exactly(loss: Any) -> None:
    step = STEP.model_copy(update={"loss": loss, "bound": 2.0 if loss == "squared" else 1.0})
    done = run(work(step, "masked")).check()
    assert same(done.results["hub"].state, simulated(step))
    losses = step.losses(done.results["hub"].state)
    assert (np.diff(losses) < 0).all()


@pytest.mark.parametrize("sum_", SUMS)
def test_a_scaling_is_that_of_the_pooled_rows(sum_: str) -> None:
    done = run(work(Moments(), sum_)).check()
    part = from_vectors(done.results["c0"], "c0", tuple(map(str, range(COLUMNS))))
    means = [column.offset for column in part.scaled]
    assert np.allclose(means, np.nanmean(X, axis=0), rtol=0, atol=1e-9)
    assert np.allclose([c.divisor for c in part.scaled], np.nanstd(X, axis=0), rtol=1e-9)
    assert [column.missing for column in part.scaled] == means


@pytest.mark.parametrize("sum_", SUMS)
@pytest.mark.parametrize("method", ["quantile", "width"])
def test_bins_are_those_of_the_simulation(sum_: str, method: Any) -> None:
    step = BinCounts(bins=6, cells=64, rounds=3, method=method)
    done = run(work(step, sum_)).check()
    expected = step.result(simulated(step))
    found = step.received(done.results["c0"], COLUMNS)
    assert np.array_equal(found.counts, expected.counts)
    for one, two in zip(found.binning.thresholds, expected.binning.thresholds, strict=True):
        assert np.array_equal(one, two)


@pytest.mark.parametrize("sum_", SUMS)
def test_a_restart_finds_the_clusters_of_the_simulation(tmp_path: Path, sum_: str) -> None:
    rows = {n: ClientRows(np.nan_to_num(part.rows), part.targets) for n, part in DATA.items()}
    step = KMeans(clusters=3, cells=2, bound=8.0)
    of, kept = work(step, sum_, minimum=5), Kept(tmp_path, ROLES)
    faults = {"hub": [Fault("kill", {"plain": 60, "masked": 120}[sum_])]}
    cut = run(of, data=rows, faults=faults, kept=kept.attempt())
    assert "hub" not in cut.results
    stores = kept.attempt()
    resumed = stores["hub"].resume_point()
    assert resumed is not None
    assert resumed[0] >= 2
    done = run(of, data=rows, kept=stores).check()
    expected = step.result(simulated(step, tuple(rows.values())))
    for name in CLIENTS:
        found = step.received(done.results[name], COLUMNS)
        assert np.allclose(found.centres, expected.centres, rtol=0, atol=1e-9)
        assert np.array_equal(found.counts, expected.counts)


@pytest.mark.parametrize("at", [1, 4, 7, 11])
def test_bins_are_of_the_clients_that_are_left(at: int) -> None:
    step = BinCounts(bins=6, cells=64, rounds=3)
    done = run(work(step, "masked"), faults={"c2": [Fault("kill", at)]})
    found = step.received(done.results["c0"], COLUMNS)
    assert found.counts[0].sum() in {len(X), len(X) - len(DATA["c2"])}
    own = [done.results[name] for name in CLIENTS if name in done.results]
    assert len(own) >= len(CLIENTS) - 1
    assert all(np.array_equal(one["classes"], own[0]["classes"]) for one in own)


def test_the_auc_over_parties_is_that_of_xgboost_on_the_pooled_rows() -> None:
    import xgboost

    x, y = small(8000, seed=3)
    train, held = slice(0, 4000), slice(4000, None)
    data = dict(zip(CLIENTS, parts(x[train], y[train], [900, 300, 1500, 50]), strict=True))
    step = Boosting(trees=20, depth=4)
    summed = Summed(minimum_clients=5)
    rows = {name: len(entry) for name, entry in data.items()}
    done = run(StepWork.of(step, COLUMNS, summed, CLIENTS, rows), data=data).check()
    forest = received_forest(step, done.results["c0"], COLUMNS)
    codes = forest.binning.encode(x)
    coded = np.where(codes == forest.binning.missing, np.nan, codes.astype(float))
    pooled = reference(step, coded[train], y[train], tree_method="exact")
    theirs = roc_auc_score(y[held], pooled.predict(xgboost.DMatrix(coded[held])))
    assert theirs > 0.95
    assert abs(roc_auc_score(y[held], forest.predict(x[held])) - theirs) < 0.002


def test_the_part_of_a_client_predicts_as_the_forest() -> None:
    for loss in ("logistic", "squared", "softmax"):
        step = STEP.model_copy(update={"loss": loss})
        forest = step.forest(simulated(step))
        part = forest.whole("c0", tuple(map(str, range(COLUMNS))), step.loss)
        assert np.allclose(part.predict(X), forest.predict(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sum_", SUMS)
@pytest.mark.parametrize("at", [1, 4, 7, 11, 16, 21])
def test_a_client_that_dies_anywhere_is_left_behind(sum_: str, at: int) -> None:
    done = run(work(sum_=sum_), faults={"c2": [Fault("kill", at)]})
    found: Stepped = done.results["hub"]
    assert set(found.left) <= {"c2"}
    own = forests(done)
    assert len(own) >= len(CLIENTS) - 1
    assert all(alike(forest, STEP.forest(found.state)) for forest in own)
    # Whoever left early is in no tree.
    roots = found.state.vectors["tree.rows"].reshape(STEP.trees, -1)[:, 0]
    assert set(roots) <= {float(len(X)), float(len(X) - len(DATA["c2"]))}


def test_too_few_that_are_left_end_it() -> None:
    faults = {name: [Fault("kill", 9)] for name in CLIENTS[:3]}
    done = run(work(sum_="masked"), faults=faults)
    assert getattr(done.errors["hub"], "code", "") in {"ATL-NET-048", "ATL-SUM-012"}
    assert not done.results


@pytest.mark.parametrize("sum_", SUMS)
@pytest.mark.parametrize("victim", ["hub", "c3"])
def test_a_restart_gives_the_same_bits(tmp_path: Path, sum_: str, victim: str) -> None:
    step = STEP.model_copy(update={"row_sample": 0.7})
    of = work(step, sum_, minimum=5)
    kept = Kept(tmp_path, ROLES)
    at = {"plain": (150, 28), "masked": (290, 65)}[sum_][victim != "hub"]
    cut = run(of, faults={victim: [Fault("kill", at)]}, kept=kept.attempt())
    assert "hub" not in cut.results
    stores = kept.attempt()
    resumed = stores["hub"].resume_point()
    # The first tree is half grown, from rows that were drawn before.
    assert resumed is not None
    assert resumed[0] >= 4
    again = run(of, kept=stores).check()
    assert same(again.results["hub"].state, simulated(step))
    assert all(
        alike(forest, step.forest(again.results["hub"].state)) for forest in forests(again, step)
    )


def test_what_was_sent_before_is_not_sent_again() -> None:
    done = run(work()).check()
    sent = [line for line in done.channels["hub"].disclosures.to_list() if line["receiver"] == "c0"]
    (values,) = (line["elements"] for line in sent if line["field"] == "values")
    state = done.results["hub"].state
    trees = 6 * STEP.trees * STEP.shape.nodes
    cells = 2 * COLUMNS * (STEP.cells - 1)
    # A level's message alone holds thresholds and trees.
    assert values < cells + COLUMNS * (STEP.bins - 1) + 2 * trees + 60
    assert state.round == 2 + 1 + STEP.trees * STEP.depth
