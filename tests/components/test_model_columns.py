"""Components that take rows for a model find its columns by name, at every party."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.components.api import Component
from atoll.components.boosting import BOOSTING
from atoll.components.prediction import PREDICTION
from atoll.components.references import PART
from atoll.components.registered import REGISTERED_MODEL
from atoll.components.trial import Case, Trial, play
from atoll.core.errors import AtollError
from atoll.core.report import Report, TextPanel
from atoll.table import Table
from tests.components.cases import AGREED, ids

Tables = dict[str, Table]
ROWS = 80
BOOST: Mapping[str, Any] = {"trees": 3, "minimum_rows": 3, "implementation": "ideal"}


def rows(seed: int = 1) -> Tables:
    """Return aligned tables whose label hangs on columns of both."""
    x = np.random.default_rng(seed).normal(size=(ROWS, 6))
    own = {f"b{at}": pa.array(x[:, at]) for at in range(3)}
    theirs = {f"s{at}": pa.array(x[:, 3 + at]) for at in range(3)}
    label = {"y": pa.array((x[:, 0] + 2 * x[:, 4] > 0).astype(float))}
    return {"bank": made(ids(ROWS), own | label, "y"), "shop": made(ids(ROWS), theirs)}


def made(rows: Any, columns: Mapping[str, Any], label: str | None = None) -> Table:
    return Table.from_columns(rows, columns, label=label).with_alignment(AGREED)


def moved(table: Table, **more: Any) -> Table:
    """Turn the columns around, with the label and further columns among them."""
    columns: dict[str, Any] = {name: table.column(name) for name in reversed(table.columns)}
    label = {} if table.label_name is None else {"y": table.column("y")}
    return made(table.ids(), more | label | columns, table.label_name)


def trained(tables: Tables, validation: Tables | None = None) -> Trial:
    given = {party: {"train": table} for party, table in tables.items()}
    for party, table in (validation or {}).items():
        given[party]["validation"] = table
    return play(BOOSTING, Case(given, BOOST)).check()


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    found = trained(rows()).results
    assert all(len(found[party].outputs["model"].splits) > 1 for party in found)
    return {party: result.outputs["model"] for party, result in found.items()}


def predicted(parts: Mapping[str, Any], tables: Tables) -> Trial:
    given = {party: {"model": parts[party], "table": table} for party, table in tables.items()}
    return play(PREDICTION, Case(given))


def imported(parts: Mapping[str, Any], tables: Tables) -> Trial:
    given = {party: {PART: parts[party], "table": table} for party, table in tables.items()}
    return play(REGISTERED_MODEL, Case(given, {"model": "m"}))


def notes(report: Report | None) -> list[str]:
    panels = () if report is None else report.panels
    return [panel.text for panel in panels if isinstance(panel, TextPanel)]


def test_scores_do_not_depend_on_the_order_of_columns(parts: dict[str, Any]) -> None:
    tables = rows()
    plain = predicted(parts, tables).check().results["bank"]
    more = {"extra": np.arange(float(ROWS))}
    other = {party: moved(table, **more) for party, table in tables.items()}
    found = predicted(parts, other).check().results
    np.testing.assert_array_equal(
        found["bank"].outputs["scores"].score, plain.outputs["scores"].score
    )
    text = "columns of the table that the model does not use: 'extra'"
    assert [notes(found[party].report) for party in ("bank", "shop")] == [[text], [text]]
    assert plain.report is None


def test_whole_numbers_and_fractions_are_the_same_columns(parts: dict[str, Any]) -> None:
    tables = rows()
    whole = {name: np.round(tables["shop"].matrix([name])[:, 0]) for name in ("s0", "s1", "s2")}
    scores = []
    for kind in (np.float64, np.int32):
        columns = {name: values.astype(kind) for name, values in whole.items()}
        tables["shop"] = made(tables["shop"].ids(), columns)
        outputs = predicted(parts, tables).check().results["bank"].outputs
        scores.append(outputs["scores"].score)
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("component", [PREDICTION, REGISTERED_MODEL], ids=lambda c: c.name)
@pytest.mark.parametrize(("party", "column"), [("bank", "b1"), ("shop", "s1")])
def test_a_renamed_column_is_named_at_its_party_alone(
    parts: dict[str, Any], component: Component, party: str, column: str
) -> None:
    tables = rows()
    tables[party] = tables[party].rename({column: f"{column}_2024"})
    found = (predicted if component is PREDICTION else imported)(parts, tables)
    error = found.errors[party]
    assert isinstance(error, AtollError)
    assert error.code == "ATL-MOD-003"
    assert error.message == f"columns of the model are missing: '{column}'"
    assert error.hint == f"columns go by name; the model does not know '{column}_2024'"
    # The plan names it to all, who were told the columns of each table.
    for peer in found.errors.keys() - {party, "plan"}:
        assert "ATL-MOD-003" in str(found.errors[peer])
        assert column not in str(found.errors[peer])


def test_a_registered_model_takes_its_columns_by_name(parts: dict[str, Any]) -> None:
    tables = rows()
    other = {party: moved(table, extra=np.zeros(ROWS)) for party, table in tables.items()}
    found = imported(parts, other).check().results
    for party, result in found.items():
        assert result.outputs["table"].columns == parts[party].columns
        assert notes(result.report) == ["columns of the table that the model does not use: 'extra'"]
    assert imported(parts, tables).check().results["shop"].report is None


def test_a_column_that_is_the_label_now_is_missing(parts: dict[str, Any]) -> None:
    tables = rows()
    label = tables["bank"].rename({"b0": "y", "y": "b0"})
    tables["bank"] = Table.from_arrow(label.to_arrow(), label="b0").with_alignment(AGREED)
    for trial in (predicted(parts, tables), imported(parts, tables)):
        assert "'b0'" in str(trial.errors["bank"])


def test_validation_rows_go_by_name() -> None:
    tables = rows()
    held = {party: table.take(np.arange(40)) for party, table in rows(2).items()}
    held = {party: table.with_alignment(AGREED) for party, table in held.items()}
    other = {party: moved(table, extra=np.ones(40)) for party, table in held.items()}
    plain, found = trained(tables, held).results, trained(tables, other).results
    for party in tables:
        assert plain[party].outputs["model"] == found[party].outputs["model"]
        text = "columns of the validation rows that the model does not use: 'extra'"
        assert notes(found[party].report) == [text]
        assert not notes(plain[party].report)
    bank = [results["bank"].report for results in (plain, found)]
    assert bank[0] is not None
    assert bank[1] is not None
    assert bank[0].panels[0] == bank[1].panels[0]
