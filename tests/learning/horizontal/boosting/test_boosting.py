"""Horizontal trees: XGBoost's quality, and the same bits whoever adds up."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, roc_auc_score

from atoll.channel.world import run
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.learning.features import binning
from atoll.learning.horizontal.algorithm import ClientWork, State
from atoll.learning.horizontal.boosting import Boosting, Forest
from atoll.learning.horizontal.features.api import TableColumns
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.sums import Update
from atoll.learning.horizontal.training import Training
from atoll.models.boosting import GuestPart, part_from_bytes, part_to_bytes, score
from tests.learning.horizontal.pooled import (
    RingClients,
    clients_of,
    failing_from,
    outcome,
    parts,
)
from tests.learning.horizontal.tasks import PUBLIC

SMALL = Boosting(trees=4, depth=3, bins=16, cells=64, sketch_rounds=3)
Table = np.ndarray[Any, Any]


def small(rows: int = 600, seed: int = 0, classes: int = 2) -> tuple[Table, Table]:
    x, y = make_classification(
        rows, 6, n_informative=4, n_redundant=0, n_classes=classes, random_state=seed
    )
    x[::9, 1] = np.nan
    x[:, 2] = np.round(x[:, 2])
    return x, y.astype(np.float64)


def shared(x: Table, y: Table) -> list[ClientRows]:
    """Return five clients of very different rows and sizes; one has none."""
    order = np.argsort(x[:, 0], kind="stable")
    return parts(x[order], y[order], [len(x) // 2, 0, 1, len(x) // 4])


def same(one: State, two: State) -> bool:
    return one.vectors.keys() == two.vectors.keys() and all(
        np.array_equal(one.vectors[name], two.vectors[name]) for name in one.vectors
    )


def reference(step: Boosting, x: Table, y: Table, **more: Any) -> xgboost.Booster:
    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_depth": step.depth,
        "eta": step.learning_rate,
        "lambda": step.reg_lambda,
        "gamma": step.gamma,
        "min_child_weight": step.minimum_child_weight,
        "max_bin": step.bins,
        "nthread": 2,
        **more,
    }
    return xgboost.train(settings, xgboost.DMatrix(x, y), step.trees)


def _gaps(step: Boosting, data: list[ClientRows], x: Table, y: Table) -> tuple[float, ...]:
    """Return the AUC on rows that no model saw: ours, XGBoost's by its own bins and by ours."""
    forest = step.forest(outcome(step, data))
    rows = np.concatenate([part.rows for part in data])
    labels = np.concatenate([part.targets for part in data])

    def coded(values: Table) -> Table:
        codes = forest.binning.encode(values)
        return np.where(codes == forest.binning.missing, np.nan, codes.astype(float))

    own = reference(step, rows, labels).predict(xgboost.DMatrix(x))
    exact = reference(step, coded(rows), labels, tree_method="exact")
    alike = exact.predict(xgboost.DMatrix(coded(x)))
    return tuple(float(roc_auc_score(y, found)) for found in (forest.predict(x), own, alike))


def test_the_auc_is_that_of_xgboost_on_the_pooled_rows() -> None:
    x, y = make_classification(
        40_000, 20, n_informative=10, n_redundant=4, flip_y=0.05, class_sep=0.7, random_state=7
    )
    x[::11, 3] = np.nan
    train, held = slice(0, 20_000), slice(20_000, None)
    step = Boosting(trees=40, depth=5)
    data = parts(x[train], y[train].astype(float), [2000, 9000, 500])
    ours, own, binned = _gaps(step, data, x[held], y[held])
    assert own > 0.9
    # With its own bins XGBoost is no closer to itself at one bin more.
    assert abs(ours - own) < 0.002
    assert abs(ours - binned) < 1e-4


def _table(path: Path) -> tuple[Table, Table]:
    with path.open() as file:
        reader = csv.DictReader(file)
        names = [name for name in reader.fieldnames or () if name.startswith("x")]
        lines = [[float(line[name]) for name in ("y", *names)] for line in reader]
    values = np.array(lines)
    return values[:, 1:], values[:, 0]


@pytest.mark.skipif("ATOLL_DATA" not in os.environ, reason="needs ATOLL_DATA")
def test_the_auc_is_that_of_xgboost_on_defaults_of_credit_cards() -> None:
    folder = Path(os.environ["ATOLL_DATA"]) / "fate"
    names = ("guest", "host_1", "host_2")
    data = [ClientRows(*_table(folder / f"default_credit_homo_{name}.csv")) for name in names]
    x, y = _table(folder / "default_credit_homo_test.csv")
    step = Boosting(trees=40, depth=4, learning_rate=0.1)
    ours, own, binned = _gaps(step, data, x, y)
    assert own > 0.75
    assert abs(ours - own) < 0.002
    assert abs(ours - binned) < 1e-4


def test_the_trees_are_those_of_the_pooled_rows() -> None:
    x, y = small()
    data = shared(x, y)
    whole = [
        ClientRows(*(np.concatenate([getattr(p, n) for p in data]) for n in ("rows", "targets")))
    ]
    assert same(outcome(SMALL, data), outcome(SMALL, whole))


@pytest.mark.parametrize("loss", ["logistic", "squared", "softmax"])
def test_any_order_threads_and_ring_give_the_same_bits(loss: Any) -> None:
    x, y = small(classes=3 if loss == "softmax" else 2)
    data = shared(x, y)
    step = SMALL.model_copy(update={"loss": loss, "classes": 3, "row_sample": 1.0})
    one = outcome(step, data)
    assert one.vectors["tree.gain"].any()
    assert same(one, outcome(step, data, clients=clients_of(step, data, threads=3)))
    assert same(one, outcome(step, data[::-1]))
    assert same(one, outcome(step, data, clients=RingClients(clients_of(step, data), 600)))


@pytest.mark.parametrize("implementation", ["ideal", "masked"])
def test_a_secure_sum_gives_the_same_trees(implementation: Any) -> None:
    x, y = small(200)
    step = Boosting(trees=2, depth=2, bins=8, cells=32, sketch_rounds=2)
    data = parts(x, y, [90, 40, 30])
    clients = RingClients(clients_of(step, data), 200, implementation)
    assert same(outcome(step, data), outcome(step, data, clients=clients))
    assert len(clients.seen) == outcome(step, data).round


def test_a_grid_that_is_too_coarse_is_refused() -> None:
    x, y = small()
    data = shared(x, y)
    step = SMALL.model_copy(update={"scale_bits": 24})
    with pytest.raises(AtollError, match="ATL-HOR-108"):
        outcome(step, data, clients=RingClients(clients_of(step, data), 600, bits=32))
    coarse = SMALL.model_copy(update={"scale_bits": 12})
    ringed = RingClients(clients_of(coarse, data), 600, bits=32)
    assert same(outcome(coarse, data), outcome(coarse, data, clients=ringed))


@pytest.mark.parametrize("row_sample", [1.0, 0.6])
def test_a_training_resumes_to_the_same_bits(row_sample: float) -> None:
    x, y = small()
    data = shared(x, y)
    step = SMALL.model_copy(update={"row_sample": row_sample})
    whole = outcome(step, data)
    clients = clients_of(step, data)
    for rounds in (2, 6, 9):
        training = Training(step, Participation(method="all"), rounds)
        broken = training.run(step.begin(6), clients, PUBLIC, (step.ended,))
        # The clients go on with what they kept, which may be of later rounds.
        assert same(outcome(step, data, clients=clients, state=broken), whole)
    if row_sample == 1:
        assert same(outcome(step, data, state=broken), whole)


def test_what_a_client_kept_of_another_training_is_not_used() -> None:
    x, y = small()
    data = shared(x, y)
    clients = clients_of(SMALL, data)
    outcome(SMALL, data, clients=clients)
    other = SMALL.model_copy(update={"learning_rate": 0.1})
    clients.algorithm = other
    assert same(outcome(other, data, clients=clients), outcome(other, data))
    for part in data:
        part.targets[:] = 1 - part.targets
    assert same(outcome(other, data, clients=clients), outcome(other, data))


def test_a_sample_of_rows_changes_the_trees_and_repeats() -> None:
    x, y = small()
    data = shared(x, y)
    half = SMALL.model_copy(update={"row_sample": 0.5})
    one, two = outcome(half, data), outcome(half, data)
    assert same(one, two)
    assert not same(one, outcome(SMALL, data))
    roots = one.vectors["tree.rows"].reshape(4, -1)[:, 0]
    assert set(roots) == {sum(min(len(part), max(1, round(len(part) / 2))) for part in data)}
    # Margins that do not move: trees differ by their samples alone.
    still = outcome(half.model_copy(update={"learning_rate": 1e-12}), data)
    assert len(set(still.vectors["tree.gain"].reshape(4, -1)[:, 0])) == 4
    forest = half.forest(one)
    assert roc_auc_score(y, forest.predict(x)) > 0.9


def test_a_client_that_fails_takes_its_rows_out_of_the_later_levels() -> None:
    x, y = small()
    data = shared(x, y)
    binned = SMALL.begin_with(binning.fit(x, 16))
    clients, count = failing_from(SMALL, data, 0, 4)
    state = outcome(SMALL, data, clients=clients, callbacks=(count,), state=binned)
    rows = state.vectors["tree.rows"].reshape(4, -1)[:, 0]
    # Round 0 asks for labels, 1 to 3 grow the first tree.
    assert rows.tolist() == [600, 300, 300, 300]
    without = outcome(SMALL, data[1:], state=binned)
    assert not same(state, without)
    assert np.isfinite(SMALL.forest(state).predict(x)).all()


def test_missing_values_go_where_they_help() -> None:
    g = np.random.default_rng(0)
    x = g.normal(size=(800, 2))
    y = (g.random(800) < 0.5).astype(float)
    x[y == 1, 0] = np.where(g.random(int(y.sum())) < 0.9, np.nan, x[y == 1, 0])
    data = parts(x, y, [300, 300])
    forest = SMALL.forest(outcome(SMALL, data))
    assert roc_auc_score(y, forest.predict(x)) > 0.9
    # A cut of all values against the missing ones is among the candidates, and is the best.
    assert forest.vectors["tree.column"][0] == 0


def _by_xgboost(step: Boosting, x: Table, y: Table, **more: Any) -> Table:
    booster = reference(step, x, y, **{"tree_method": "exact", "base_score": 0.5, **more})
    found: Table = booster.predict(xgboost.DMatrix(x), output_margin=True)
    return found


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"reg_lambda": 0.0, "minimum_child_weight": 8.0},
        {"reg_lambda": 30.0, "learning_rate": 0.7},
    ],
)
def test_leaf_weights_are_those_of_xgboost(changed: dict[str, float]) -> None:
    # Few distinct values: the bins are exact, so XGBoost's exact search sees the same cuts.
    g = np.random.default_rng(4)
    x = g.integers(0, 8, (1500, 5)).astype(np.float64)
    y = (x @ g.normal(size=5) + g.normal(size=1500) * 4 > 0).astype(float)
    step = SMALL.model_copy(update={"base_score": "zero", "scale_bits": 28, **changed})
    ours = step.forest(outcome(step, shared(x, y))).margins(x)[0]
    assert np.abs(ours - _by_xgboost(step, x, y)).max() < 1e-4


def test_squared_errors_are_learned_as_by_xgboost() -> None:
    g = np.random.default_rng(4)
    x = g.integers(0, 8, (1500, 5)).astype(np.float64)
    target = np.tanh(x @ g.normal(size=5) / 10)
    step = SMALL.model_copy(
        update={"loss": "squared", "bound": 2.0, "base_score": "zero", "scale_bits": 28}
    )
    ours = step.forest(outcome(step, shared(x, target))).predict(x)
    theirs = _by_xgboost(step, x, target, objective="reg:squarederror", base_score=0.0)
    assert np.abs(ours).max() > 0.1
    assert np.abs(ours - theirs).max() < 1e-4


def test_classes_are_learned_as_by_xgboost() -> None:
    g = np.random.default_rng(4)
    x = g.integers(0, 8, (1500, 5)).astype(np.float64)
    target = np.tanh(x @ g.normal(size=5) / 10)
    classes = np.digitize(target, [-0.4, 0.4]).astype(np.float64)
    soft = SMALL.model_copy(update={"loss": "softmax", "classes": 3, "trees": 10})
    found = soft.forest(outcome(soft, shared(x, classes))).predict(x)
    assert found.shape == (1500, 3)
    assert np.allclose(found.sum(axis=1), 1)
    booster = reference(soft, x, classes, objective="multi:softprob", num_class=3)
    expected = accuracy_score(classes, booster.predict(xgboost.DMatrix(x)).argmax(axis=1))
    assert accuracy_score(classes, found.argmax(axis=1)) > expected - 0.01


def test_a_logistic_model_is_scored_and_stored_like_a_vertical_one() -> None:
    x, y = small()
    forest = SMALL.forest(outcome(SMALL, shared(x, y)))
    names = tuple(f"x{i}" for i in range(6))
    part = part_from_bytes(part_to_bytes(forest.part("bank", names)))
    assert isinstance(part, GuestPart)
    given = names[::-1]
    world = run({"bank": Role.GUEST}, lambda party: score(party, part, x[:, ::-1].copy(), given))
    found = world.check().results["bank"]
    assert np.allclose(found, forest.predict(x), rtol=0, atol=1e-12)
    assert sum(tree.rows[0] for tree in part.trees) == 4 * 600
    softmax = Boosting(loss="softmax", trees=1, depth=1)
    other = Forest(forest.binning, softmax.objectives, 1, 0, np.zeros(2), forest.vectors)
    with pytest.raises(AtollError, match="ATL-HOR-106"):
        other.part("bank", names)


def test_what_a_client_must_not_use_is_refused() -> None:
    x, y = small()
    data = shared(x, y)
    clients = clients_of(SMALL, data)
    good = outcome(SMALL, data, clients=clients)
    place = {"at": np.array([3.0, 0.0]), "live": np.zeros(1)}
    message = dict(SMALL.message(State(9, {**good.vectors, **place})))
    both = np.array([0, 4])
    assert clients.ask(9, message, both).failures == {}
    wrong: dict[str, Table] = {
        "at": np.array([4.0, 0.0]),
        "tree.cut": np.zeros(0),
        "live": np.array([1.0, 0.0]),
        "weights": message["weights"][1:],
        "tree.column": message["tree.column"] + 9,
        "thresholds": message["thresholds"][1:],
        "base": np.array([np.nan]),
    }
    for name, vector in wrong.items():
        failures = clients.ask(9, message | {name: vector}, both).failures
        assert failures == {0: "ATL-HOR-100", 4: "ATL-HOR-100"}, name


def test_targets_beyond_the_bound_are_their_owners_failure() -> None:
    x, y = small()
    data = shared(x, y)
    data[4].targets[3] = 50
    step = SMALL.model_copy(update={"loss": "squared", "bound": 2.0})
    clients = clients_of(step, data)
    outcome(step, data, clients=clients)
    assert "ATL-HOR-104" in clients.tracebacks[4]
    assert set(clients.tracebacks) == {4}
    huge, data = SMALL.model_copy(update={"loss": "squared", "bound": 1e12}), data[3:]
    training = Training(huge, Participation(method="all"), 1)
    state = huge.begin_with(binning.fit(x, 16))
    with pytest.raises(AtollError, match="ATL-HOR-030"):
        training.run(state, clients_of(huge, data), PUBLIC)


def test_residuals_beyond_the_bound_are_cut_to_it_whatever_margins_are_sent() -> None:
    """Else the tree at which a client fails would show its labels (``tests/dishonest``)."""
    x, y = small()
    step = SMALL.model_copy(update={"loss": "squared", "bound": 2.0, "row_sample": 1.0})
    data = ClientRows(x, y)
    state = step.begin_with(binning.fit(x, 16))
    sums = Update({"labels": np.array([y.sum()])}, {"rows": float(len(y))})
    sent = dict(step.message(step.aggregate(state, sums)))
    model, generator = TableColumns(x.shape[1]), np.random.default_rng(0)
    for base, cut, total in ((1.5, "", 1.5 * len(y) - y.sum()), (1e9, "ATL-HOR-104", 2.0 * len(y))):
        work = ClientWork(model, sent | {"base": np.array([base])}, {}, data, generator, 5)
        done = step.client(work)
        assert done.cut == cut
        g = done.update.vectors["sums"].reshape(3, x.shape[1], -1)[0].sum(axis=1)
        assert np.allclose(g, total, rtol=0, atol=1e-2)


def test_sums_that_contradict_each_other_are_refused() -> None:
    x, y = small()
    data = shared(x, y)
    clients = clients_of(SMALL, data)
    state = SMALL.begin_with(binning.fit(x, 16))
    labels = clients.ask(0, SMALL.message(state), np.arange(5)).total
    assert labels is not None
    state = SMALL.aggregate(state, labels)
    sums = clients.ask(1, SMALL.message(state), np.arange(5)).total
    assert sums is not None
    assert SMALL.aggregate(state, sums).vectors["at"].tolist() == [0, 1]
    changed = np.array(sums.vectors["sums"])
    changed[-1] += 1
    with pytest.raises(AtollError, match="ATL-HOR-101"):
        SMALL.aggregate(state, Update({"sums": changed}, sums.numbers))


def test_parameters_that_make_too_many_nodes_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer trees"):
        Boosting(trees=4096, depth=10)
    with pytest.raises(ValueError, match="squared loss"):
        Boosting(bound=3)
    with pytest.raises(AtollError, match="ATL-HOR-102"):
        SMALL.forest(SMALL.begin(3))
