"""Horizontal training over tables that are not alike: the same result, or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.cluster import KMeans as Pooled
from sklearn.metrics import adjusted_rand_score, silhouette_score

from atoll.components.catalogue import CATALOGUE
from atoll.components.local_prediction import LOCAL_PREDICTION
from atoll.components.trial import Case, play
from atoll.core.random import PublicRandom
from atoll.jobs.definition import Job, parse_job
from atoll.learning.features.binning import fit
from atoll.learning.horizontal.clustering import KMeans
from atoll.learning.horizontal.features import TableColumns, run_step
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.models.network.part import NetworkPart
from atoll.table import Table
from tests import whole
from tests.components.horizontal_cases import CLIENTS, missing, part, rows
from tests.held import HeldTables

Vary = Callable[[Table], Table]


def job(**parameters: Any) -> Job:
    parties = {"hub": "aggregator", **dict.fromkeys(CLIENTS, "client")}
    steps = {
        "rows": {"component": "reader", "parameters": {"tables": dict.fromkeys(CLIENTS, "rows")}},
        "train": {
            "component": "horizontal",
            "inputs": {"train": "rows.table"},
            "parameters": {"rounds": 2, **parameters},
        },
        "score": {
            "component": "local_prediction",
            "inputs": {"model": "train.model", "table": "rows.table"},
        },
    }
    return parse_job({"name": "horizontal", "parties": parties, "seed": 3, "steps": steps})


def played(vary: Vary | None = None, **parameters: Any) -> whole.Whole:
    """Run the job; ``vary`` changes the table of the last client."""
    tables = {name: rows(at) for at, name in enumerate(CLIENTS)}
    if vary is not None:
        tables[CLIENTS[-1]] = vary(tables[CLIENTS[-1]])
    held = {name: HeldTables({"rows": table}) for name, table in tables.items()}
    return whole.play(job(**parameters), held, CATALOGUE)


def weights(done: whole.Whole) -> dict[str, np.ndarray]:
    found = {}
    for name, outcome in done.check().results.items():
        part = outcome.results["train"].outputs.get("model") if "train" in outcome.results else None
        if isinstance(part, NetworkPart):
            found[name] = part.weights
    return found


def codes(done: whole.Whole) -> set[str]:
    return {getattr(error, "code", repr(error)) for error in done.errors.values()}


def pooled(
    component: str, mill: Table | None = None, **parameters: Any
) -> tuple[Any, np.ndarray, whole.Whole]:
    """Run a step over tables (of "mill" one with missing values unless another is named).

    Return bank's results and all clients' rows.
    """
    tables = {name: rows(at) for at, name in enumerate(CLIENTS)}
    tables["mill"] = missing() if mill is None else mill
    port = {"table": "rows.table"}
    plain: dict[str, Any] = job().canonical()
    plain["steps"] = {
        "rows": plain["steps"]["rows"],
        "it": {"component": component, "inputs": port, "parameters": parameters},
    }
    held = {name: HeldTables({"rows": table}) for name, table in tables.items()}
    done = whole.play(parse_job(plain), held, CATALOGUE).check()
    values = np.concatenate([table.matrix() for table in tables.values()])
    return done.results["bank"].results["it"], values, done


def test_each_client_evaluates_the_clusters_of_its_own_rows() -> None:
    plain: dict[str, Any] = job().canonical()
    plain["steps"] = {
        "rows": plain["steps"]["rows"],
        "group": {
            "component": "horizontal_kmeans",
            "inputs": {"table": "rows.table"},
            "parameters": {"clusters": 2, "rounds": 10},
        },
        "it": {"component": "cluster_evaluation", "inputs": {"table": "group.table"}},
    }
    held = {name: HeldTables({"rows": rows(at)}) for at, name in enumerate(CLIENTS)}
    done = whole.play(parse_job(plain), held, CATALOGUE).check()
    for client in CLIENTS:
        found = done.results[client].results
        table = found["group"].outputs["table"]
        values, groups = table.matrix(["a", "b", "c"]), table.matrix(["cluster"])[:, 0]
        figures = found["it"].outputs["metrics"]["clusters"]
        assert np.isclose(figures["silhouette"], silhouette_score(values, groups))
        assert np.isclose(figures["adjusted_rand"], adjusted_rand_score(table.label(), groups))
        assert found["it"].report is not None
    assert "it" not in done.results["hub"].results


@pytest.mark.parametrize("sum_", ["masked", "plain"])
def test_statistics_are_those_of_all_rows(sum_: str) -> None:
    result, values, done = pooled("horizontal_statistics", sum=sum_, quantiles=[0.5])
    found = result.outputs["statistics"]["columns"]
    assert [line["name"] for line in found] == ["a", "b", "c"]
    assert [line["missing"] for line in found] == np.isnan(values).sum(axis=0).tolist()
    assert np.allclose([line["mean"] for line in found], np.nanmean(values, axis=0), atol=1e-9)
    assert np.allclose([line["std"] for line in found], np.nanstd(values, axis=0, ddof=1))
    off = [line["quantile 0.5"] for line in found] - np.nanmedian(values, axis=0)
    assert (np.abs(off) <= [line["error 0.5"] + 1e-12 for line in found]).all()
    assert done.results["hub"].results["it"].report is not None


@pytest.mark.parametrize(
    ("parameters", "filled"),
    [({}, None), ({"missing": "mean"}, np.nanmean), ({"missing": "median"}, np.nanmedian)],
)
def test_columns_are_scaled_by_all_rows_and_filled(
    parameters: dict[str, Any], filled: Callable[..., Any] | None
) -> None:
    result, values, done = pooled("horizontal_scale", **parameters)
    mean, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    own = done.results["mill"].results["it"].outputs["table"].matrix()
    before = missing().matrix()
    if filled is not None:
        before = np.where(np.isnan(before), filled(values, axis=0), before)
    # A median is known to within a cell.
    assert np.allclose(own, (before - mean) / deviation, atol=0.02, equal_nan=True)
    assert np.isnan(own).any() == (filled is None)
    assert result.outputs["transform"].party == "bank"
    assert result.outputs["table"].label_name == "y"


def panels(result: Any) -> Any:
    assert result.report is not None
    return result.report.panels


def of_method(values: np.ndarray, bins: int, method: str) -> np.ndarray:
    """Return thresholds of values without missing ones, float64[bins - 1]."""
    if method == "quantile":
        return fit(values[:, np.newaxis], bins).thresholds[0]
    return np.linspace(values.min(), values.max(), bins + 1)[1:-1]


@pytest.mark.parametrize("sum_", ["masked", "plain"])
@pytest.mark.parametrize("method", ["quantile", "width"])
def test_bins_and_their_evidence_are_those_of_all_rows(sum_: str, method: str) -> None:
    asked: dict[str, Any] = {
        "sum": sum_,
        "method": method,
        "bins": 4,
        "cells": 1024,
        "smoothing": 1.0,
    }
    result, values, done = pooled("horizontal_binning", **asked)
    labels = [rows(at).label() for at in range(len(CLIENTS))]
    label, own = np.concatenate(labels), done.results["mill"].results["it"]
    columns, *bins = panels(own)
    before, after = missing().matrix(), own.outputs["table"].matrix()
    for at, column in enumerate(result.outputs["transform"].binned):
        known = ~np.isnan(values[:, at])
        cuts = of_method(values[known, at], 4, method)
        codes = np.where(known, np.searchsorted(cuts, values[:, at], side="right"), 4)
        counts = np.array([[np.sum((codes == c) & (label == y)) for c in range(5)] for y in (0, 1)])
        assert [list(line[3:5]) for line in bins[at].rows] == counts.T.tolist()
        filled = counts.sum(axis=0) > 0
        shares = (counts[:, filled] + 1.0) / (counts[:, filled] + 1.0).sum(axis=1, keepdims=True)
        woe = np.zeros(5)
        woe[filled] = np.log(shares[1] / shares[0])
        assert np.allclose([*column.values, column.missing], woe, rtol=0, atol=1e-12)
        iv = float((shares[1] - shares[0]) @ woe[filled])
        assert columns.rows[at] == ("abc"[at], 4, int(np.sum(~known)), pytest.approx(iv))
        mine = np.searchsorted(cuts, before[:, at], side="right")
        mine[np.isnan(before[:, at])] = 4
        assert np.array_equal(after[:, at], np.array([*column.values, column.missing])[mine])
    assert [line[1:] for line in panels(done.results["hub"].results["it"])[0].rows] == [
        line[1:] for line in columns.rows
    ]
    assert own.outputs["table"].label_name == "y"


def test_bins_by_number_read_no_label_and_leave_missing_values() -> None:
    result, _, done = pooled("horizontal_binning", evidence=False, values="index", bins=4)
    after = done.results["mill"].results["it"].outputs["table"].matrix()
    assert np.array_equal(np.isnan(after), np.isnan(missing().matrix()))
    assert set(after[~np.isnan(after)]) <= {0.0, 1.0, 2.0, 3.0}
    columns, of_a, *_ = panels(result)
    assert [line[3] for line in of_a.rows] == [30, 30, 30, 30, 0]
    assert columns.columns == ("column", "bins", "missing")


@pytest.mark.parametrize("sum_", ["masked", "plain"])
def test_clusters_are_those_of_all_rows(sum_: str) -> None:
    asked: dict[str, Any] = {"clusters": 4, "tolerance": 0.0, "bound": 2.5}
    result, values, done = pooled("horizontal_kmeans", rows(1), sum=sum_, **asked)
    values, part = np.clip(values, -2.5, 2.5), result.outputs["transform"]
    alone = KMeans(**asked)
    clients = SimulatedClients(
        alone, TableColumns(3), 1, lambda _: ClientRows(values, np.empty(120)), PublicRandom(b"1")
    )
    found = alone.result(run_step(alone, clients, 3, PublicRandom(b"1")))
    assert np.allclose(part.centres, found.centres, rtol=0, atol=1e-9)
    lloyd = Pooled(4, init=found.centres, n_init=1, tol=0).fit(values)
    assert np.allclose(part.centres, lloyd.cluster_centers_, rtol=0, atol=1e-9)
    fit_, sizes, *_ = panels(result)
    assert fit_.values["inertia"] == pytest.approx(lloyd.inertia_)
    assert [line[1] for line in sizes.rows] == np.bincount(lloyd.labels_).tolist()
    whole_ = [done.results[name].results["it"] for name in CLIENTS]
    own = np.concatenate([one.outputs["table"].matrix(["cluster"])[:, 0] for one in whole_])
    assert np.array_equal(own, lloyd.labels_)
    assert [line[2] for line in sizes.rows] == np.bincount(lloyd.labels_[:40], minlength=4).tolist()
    assert result.outputs["table"].columns == ("a", "b", "c", "cluster")
    lines = result.files["clusters.csv"].decode().splitlines()
    assert lines[:2] == ['"id","cluster"', f'"person-0-0000",{int(own[0])}']


def turned(table: Table) -> Table:
    return table.select(["c", "a", "b"])


def fewer(table: Table) -> Table:
    return table.select(["a", "b"])


def more(table: Table) -> Table:
    whole_ = table.to_arrow()
    extra = pa.array(np.zeros(table.num_rows))
    return Table.from_arrow(whole_.append_column("d", extra), label="y")


def renamed(table: Table) -> Table:
    return table.rename({"b": "b2"})


def shuffled(table: Table) -> Table:
    return table.take(np.random.default_rng(1).permutation(table.num_rows))


def test_all_clients_and_none_else_have_the_model() -> None:
    found = weights(played())
    assert found.keys() == set(CLIENTS)
    assert len({entry.tobytes() for entry in found.values()}) == 1


def test_each_client_scores_its_own_rows() -> None:
    done = played(rounds=20, learning_rate=0.5).check()
    for name in CLIENTS:
        scores = done.results[name].results["score"].outputs["scores"]
        assert ((scores.score >= 0.5) == scores.label).mean() > 0.8
    assert done.results["hub"].results.keys() == {"train"}


def test_a_row_with_a_missing_value_has_no_class() -> None:
    found = part("bank", classes=3)
    table = rows(1, classes=3)
    arrow = table.to_arrow()
    at = arrow.column_names.index("b")
    holes = pa.array([None, *arrow.column("b").to_pylist()[1:]], pa.float64())
    holed = Table.from_arrow(arrow.set_column(at, "b", holes), label="y")
    inputs: dict[str, dict[str, Any]] = {
        "bank": {"model": found, "table": holed},
        "shop": {"model": None, "table": None},
    }
    scores = play(LOCAL_PREDICTION, Case(inputs)).check().results["bank"].outputs["scores"].score
    assert np.isnan(scores[0])
    assert not np.isnan(scores[1:]).any()


@pytest.mark.parametrize("vary", [turned, fewer, more, renamed], ids=lambda vary: vary.__name__)
def test_columns_that_are_not_alike_are_refused_before_anything_runs(vary: Vary) -> None:
    done = played(vary)
    assert codes(done) == {"ATL-HOR-085"}
    assert not done.sent


def test_rows_in_another_order_change_batches_and_nothing_else() -> None:
    plain = weights(played(batch_size=None, algorithm="fedsgd"))
    other = weights(played(shuffled, batch_size=None, algorithm="fedsgd"))
    assert np.allclose(plain["bank"], other["bank"], atol=1e-6)


def test_a_seed_repeats_the_model_and_a_mask_does_not_show_in_it() -> None:
    one, two = weights(played()), weights(played())
    plain = weights(played(sum="plain"))
    assert np.array_equal(one["bank"], two["bank"])
    assert np.abs(one["bank"] - plain["bank"]).max() < 1e-6
