"""Statistics, union, sample and download in whole jobs, against references and hostile peers."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.components.api import Task
from atoll.components.catalogue import CATALOGUE
from atoll.components.download import DOWNLOAD, arrow_of, to_csv
from atoll.components.sample import SAMPLE, SampleParameters, SelectedRows
from atoll.components.trial import ROLES, Case, NoTables, play
from atoll.components.union import UNION
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.jobs.definition import Job, parse_job
from atoll.table import Table
from tests import whole
from tests.components.cases import both, several, table
from tests.held import HeldTables

ROWS = 90


PSI = {"protocol": "ideal", "minimum_intersection": 5}
KEY = {"shop": {"id": "key"}}


# A step that talks, so that the parties compare where their rows were agreed on.
STRATIFIED = {"method": "stratified", "fraction": 0.5}


def step(component: str, source: Any = None, **more: Any) -> dict[str, Any]:
    port = "tables" if component == "union" else "table"
    inputs = {} if source is None else {port: source}
    return {"component": component, "inputs": inputs, **more}


def reader(bank: str, shop: str) -> dict[str, Any]:
    named = {"tables": {"bank": bank, "shop": shop}}
    return step("reader", parameters=named, overrides=KEY)


def job() -> Job:
    own = {"bank": {"label": True}, "shop": {"columns": ["s0"]}}
    files = {"shop": {"format": "parquet", "name": "rows"}}
    half = {"method": "stratified", "fraction": 0.5}
    tables = ["p1.table", "p2.table"]
    steps = {
        "first": reader("loans", "visits"),
        "second": reader("more_loans", "more_visits"),
        "p1": step("psi", "first.table", parameters=PSI),
        "p2": step("psi", "second.table", parameters=PSI),
        "union": step("union", tables, parameters={"duplicates": "keep-first"}),
        # Which rows were left out is each party's own matter, until they intersect again.
        "common": step("psi", "union.table", parameters=PSI),
        "sample": step("sample", "common.table", parameters=half),
        "random": step("sample", "common.table", parameters={"count": 20}),
        "statistics": step("statistics", "sample.table", overrides=own),
        "download": step("download", "random.table", overrides=files),
    }
    parties = {"bank": "guest", "shop": "host"}
    return parse_job({"name": "features", "parties": parties, "steps": steps})


def table_of(name: str, start: int, *, label: bool) -> Table:
    made = table(name, rows=ROWS, start=start, label=label)
    return made if label else made.rename({"id": "key"})


TABLES = {
    "bank": HeldTables(
        {"loans": table_of("b", 0, label=True), "more_loans": table_of("b", 70, label=True)}
    ),
    "shop": HeldTables(
        {"visits": table_of("s", 10, label=False), "more_visits": table_of("s", 60, label=False)}
    ),
}


Found = dict[str, whole.Outcome]


@pytest.fixture(scope="module")
def found() -> Found:
    return whole.play(job(), TABLES, CATALOGUE).check().results


def output(found: Found, party: str, step: str, name: str = "table") -> Any:
    return found[party].results[step].outputs[name]


def names(made: Table) -> list[str]:
    return [entry.decode() for entry in made.ids().to_pylist()]


@pytest.mark.parametrize("step", ["common", "sample", "random"])
def test_rows_stay_aligned(found: Found, step: str) -> None:
    bank, shop = (output(found, party, step) for party in ("bank", "shop"))
    assert names(bank) == names(shop)
    assert len(set(names(bank))) == bank.num_rows


def test_the_union_is_that_of_a_plain_reference(found: Found) -> None:
    for party, name, more, key, label in (
        ("bank", "loans", "more_loans", "id", "y"),
        ("shop", "visits", "more_visits", "key", None),
    ):
        held = [TABLES[party].open(t, id_column=key, label=label) for t in (name, more)]
        frames = [pd.DataFrame(entry.to_pandas()).set_index(key) for entry in held]
        made = output(found, party, "union").to_pandas().set_index(key)
        both_have = [
            set(range(10, 90)),
            set(range(70, 150)),
        ]
        parts = [
            frame[[int(at[-4:]) in kept for at in frame.index]]
            for frame, kept in zip(frames, both_have, strict=True)
        ]
        plain = pd.concat(parts)
        plain = plain[~plain.index.duplicated()]
        pd.testing.assert_frame_equal(made.sort_index(), plain.sort_index())


def test_a_stratified_sample_keeps_the_share_of_each_class(found: Found) -> None:
    before = output(found, "bank", "union").label()
    after = output(found, "bank", "sample").label()
    for value in (0.0, 1.0):
        size = np.count_nonzero(before == value)
        assert abs(np.count_nonzero(after == value) - size * 0.5) < 1
    assert output(found, "bank", "random").num_rows == 20


def test_statistics_are_those_of_a_plain_reference(found: Found) -> None:
    made = output(found, "bank", "statistics", "statistics")
    frame = output(found, "bank", "sample").to_pandas()
    assert [column["name"] for column in made["columns"]] == ["b0", "b1", "b2", "y"]
    for column in made["columns"]:
        series = frame[column["name"]]
        assert column["mean"] == pytest.approx(series.mean())
        assert column["std"] == pytest.approx(series.std())
        assert column["quantiles"]["0.25"] == pytest.approx(series.quantile(0.25))
    theirs = output(found, "shop", "statistics", "statistics")
    assert [column["name"] for column in theirs["columns"]] == ["s0"]


def test_files_and_reports_are_there(found: Found) -> None:
    bank, shop = (found[party].results for party in ("bank", "shop"))
    rows = list(csv.DictReader(io.StringIO(bank["download"].files["table.csv"].decode())))
    assert [row["id"] for row in rows] == names(output(found, "bank", "random"))
    kept = parquet.read_table(io.BytesIO(shop["download"].files["rows.parquet"]))
    assert kept.column_names == ["key", "s0", "s1", "s2"]
    report, drawn = bank["statistics"].report, bank["sample"].report
    assert report is not None
    assert drawn is not None
    assert [panel.kind for panel in report.panels] == ["kv", "table"]
    assert drawn.title == "Sample"


def test_the_plan_shows_every_party_s_parameters(found: Found) -> None:
    plan = found["bank"].plan
    assert plan.parameters["statistics"]["label"] is False
    assert plan.party_parameters["statistics"]["bank"]["label"] is True
    assert plan.party_parameters["statistics"]["shop"]["columns"] == ["s0"]
    assert set(plan.party_parameters) == {"first", "second", "statistics", "download"}
    assert plan.tables["shop"]["first"].columns == ("s0", "s1", "s2")
    assert plan.trust_models["statistics"] == "local"
    assert plan.reveals["statistics"] == ()


def test_what_was_sent_is_what_the_plan_says(found: Found) -> None:
    plan = found["bank"].plan
    for party in ("bank", "shop"):
        for line in found[party].reveals:
            role = plan.job.first_roles[line["receiver"]].value
            declared = {
                (entry["message"], entry["field"])
                for entry in plan.reveals[line["step"]]
                if entry["receiver"] in (role, "everyone")
            }
            assert (line["message"], line["field"]) in declared, line
            assert line["step"] not in ("statistics", "random", "download")


# -- peers that lie -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bits",
    [
        np.zeros(8, dtype=np.uint8),
        np.full(8, 255, dtype=np.uint8),
        np.full(7, 255, dtype=np.uint8),
        np.full(9, 1, dtype=np.uint8),
        np.empty(0, dtype=np.uint8),
    ],
)
def test_a_host_refuses_a_sample_that_does_not_fit(bits: Any) -> None:
    def guest(party: Party) -> None:
        party.channel.send("shop", "kept", SelectedRows(bits))

    def host(party: Party) -> Any:
        task = Task("sample", party, both()["shop"], NoTables())
        return SAMPLE.run(task, SampleParameters(method="stratified", fraction=0.5))

    lived = world.run(ROLES, {"bank": guest, "shop": host})
    error = lived.errors["shop"]
    assert isinstance(error, AtollError)
    assert error.code == "ATL-CMP-043"


def test_what_a_union_left_out_is_never_compared() -> None:
    """A digest of it was guessed, row by row, by a partner that compared it."""
    bank = {
        "tables.0": table("b", rows=20, label=True),
        "tables.1": table("b", rows=20, start=15, label=True),
    }
    shop = {"tables.0": table("s", rows=20, start=15), "tables.1": table("s", rows=20)}
    case = Case({"bank": bank, "shop": shop}, {"duplicates": "keep-first"})
    made = play(UNION, case).check().results
    kept = {party: result.outputs["table"] for party, result in made.items()}
    assert {entry.num_rows for entry in kept.values()} == {35}
    assert {entry.alignment for entry in kept.values()} == {None}
    held = {party: {"table": entry} for party, entry in kept.items()}
    errors = play(SAMPLE, Case(held, {"fraction": 0.5})).errors.values()
    assert {getattr(error, "code", None) for error in errors} == {"ATL-PLN-008"}


def test_unions_in_which_no_row_may_be_left_out_stay_aligned() -> None:
    made = play(UNION, Case(several([0, 20]))).check().results
    found = {result.outputs["table"].alignment for result in made.values()}
    assert len(found) == 1
    assert None not in found


def test_three_parties_keep_the_same_sample() -> None:
    roles = {"bank": Role.GUEST, "mill": Role.HOST, "shop": Role.HOST}
    inputs = {**both(rows=120), "mill": {"table": table("m", rows=120)}}
    for parameters in ({"method": "stratified", "count": 17}, {"fraction": 0.4}):
        lived = play(SAMPLE, Case(inputs, parameters, roles=roles)).check()
        kept = {tuple(names(made.outputs["table"])) for made in lived.results.values()}
        assert len(kept) == 1


# -- files ----------------------------------------------------------------------------------------


def test_numbers_keep_every_bit_and_missing_values_are_empty() -> None:
    values = [0.1, 1 / 3, 1e-300, None, -1.5e300]
    made = Table.from_columns(pa.array(list("abcde")), {"x": pa.array(values)})
    rows = list(csv.DictReader(io.StringIO(to_csv(arrow_of(made)).decode())))
    assert [float(row["x"]) if row["x"] else None for row in rows] == values


def test_a_download_can_leave_columns_out() -> None:
    case = Case(both(), own={"bank": {"columns": ["y", "b1", "y"]}})
    lived = play(DOWNLOAD, case).check()
    header = lived.results["bank"].files["table.csv"].splitlines()[0]
    assert header.replace(b'"', b"") == b"id,y,b1"
