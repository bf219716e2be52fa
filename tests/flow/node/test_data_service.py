"""The data service over a real database and real files."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from atoll.components.reader import READER
from atoll.core.errors import AtollError, DataError, UserError
from atoll.core.names import Role
from atoll.flow.access import Access, Actor, local_actor
from atoll.flow.node.data.inspection import InspectLimits
from atoll.flow.node.data.service import DataService, DataSettings
from atoll.flow.policy.grants import GrantTerms
from atoll.flow.store import AgreementRow, Agreements, Database, JobRow, Jobs
from atoll.jobs.errors import ConflictError, DeniedError, EnvironmentFault, NotFoundError
from atoll.table import read
from atoll.table.labels import LabelFacts

ROWS = "id,x,y\na,1,0\nb,2,1\nc,3,1\n"
BY: Actor = local_actor()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(f"sqlite:///{tmp_path / 'atoll.db'}") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture
def service(database: Database, folder: Path) -> DataService:
    return DataService(database, Access(database), folder, DataSettings(upload_bytes=4 << 20))


def register(service: DataService, name: str, path: str, **more: Any) -> Any:
    label = more.pop("label", None)
    return service.register(name, path, "id", label, "some rows", "ann", **more)


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def upload(service: DataService, name: str, *chunks: bytes, **more: Any) -> Any:
    options = {"form": "csv", "id_column": "id", "label": None, "description": ""} | more
    return asyncio.run(service.upload(name, pieces(*chunks), owner="ann", **options))


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_registered_file_is_known_by_its_content(service: DataService, folder: Path) -> None:
    (folder / "bank.csv").write_text(ROWS)
    view = register(service, "bank", "bank.csv", label="y")
    assert view["digest"] == read(folder / "bank.csv", label="y").digest()
    assert (view["rows"], tuple(view["columns"]), view["label"]) == (3, ("x",), "y")
    assert service.get("bank")["bytes"] == len(ROWS)
    assert [row["name"] for row in service.list(limit=10, after=None).rows] == ["bank"]
    with pytest.raises(ConflictError, match="ATL-DAT-107"):
        register(service, "bank", "bank.csv")


def test_planning_needs_no_second_look(
    service: DataService, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bank.csv").write_text(ROWS)
    register(service, "bank", "bank.csv", label="y")
    monkeypatch.setattr(
        "atoll.flow.node.data.inspection.ask", lambda *_: pytest.fail("looked again")
    )
    monkeypatch.setattr("atoll.table.read", lambda *_, **__: pytest.fail("read"))
    parameters = READER.parameters.model_validate({"tables": {"bank": "bank"}})
    assert READER.declare is not None
    declared = READER.declare("bank", Role.GUEST, parameters, service.tables())
    assert declared is not None
    facts, label = declared.facts, declared.label
    assert (facts.rows, facts.columns, facts.label) == (3, ("x",), "y")
    # The header is row 1.
    assert label == LabelFacts("y", (0.0, 1.0), (2, 3), sizes=(1, 2))


def test_whether_two_tables_share_ids_is_looked_at_once_and_not_here(
    service: DataService, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, ids in {"one": "ab", "two": "bc", "three": "cd"}.items():
        (folder / f"{name}.csv").write_text("id,x\n" + "".join(f"{at},1\n" for at in ids))
        register(service, name, f"{name}.csv")
    monkeypatch.setattr("atoll.table.read", lambda *_, **__: pytest.fail("read"))
    one, two, three = (
        service.tables().open(name, id_column="id", label=None) for name in ("one", "two", "three")
    )
    assert one.shares_ids(two)
    assert not one.shares_ids(three)
    monkeypatch.setattr(
        "atoll.flow.node.data.inspection.ask", lambda *_: pytest.fail("looked again")
    )
    assert one.shares_ids(two)
    assert not one.shares_ids(three)


def open_by(service: DataService, label: str | None) -> Any:
    return service.tables().open("bank", id_column="id", label=label)


def test_a_look_that_failed_is_not_repeated_until_the_table_is_another(
    service: DataService, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bank.csv").write_text("id,x,y\na,1,0\nb,2,\n")
    register(service, "bank", "bank.csv")
    real, asked = service.ask, []

    def counting(question: Any, limits: InspectLimits) -> Any:
        asked.append(question["do"])
        return real(question, limits)

    service.ask = counting
    found = []
    for _ in range(3):
        with pytest.raises(DataError, match="ATL-TAB-015") as caught:
            open_by(service, "y")
        found.append((caught.value.message, caught.value.place, caught.value.hint))
    assert asked == ["facts"]
    assert len(set(found)) == 1
    (folder / "bank.csv").write_text("id,x,y\na,1,0\nb,2,1\n")
    for _ in range(3):
        with pytest.raises(ConflictError, match="ATL-DAT-104"):
            open_by(service, "y")
    assert asked == ["facts", "same"]
    service.delete("bank", BY, force=True)
    register(service, "bank", "bank.csv")
    assert open_by(service, "y").num_rows == 2


@pytest.mark.parametrize("code", ["ATL-DAT-108", "ATL-TAB-001"])
def test_what_the_machine_was_short_of_is_looked_at_again(
    service: DataService, folder: Path, code: str
) -> None:
    (folder / "bank.csv").write_text(ROWS)
    register(service, "bank", "bank.csv")
    real = service.ask

    def short(question: Any, limits: InspectLimits) -> Any:
        raise DataError(code, "no memory")

    service.ask = short
    with pytest.raises(DataError, match=code):
        open_by(service, "y")
    service.ask = real
    assert open_by(service, "y").num_rows == 3


def test_looks_at_once_keep_what_each_found(service: DataService, folder: Path) -> None:
    (folder / "bank.csv").write_text(ROWS)
    register(service, "bank", "bank.csv")
    real, asked = service.ask, []

    def with_another(question: Any, limits: InspectLimits) -> Any:
        asked.append(question["label"])
        if question["label"] == "y":
            open_by(service, "x")
        return real(question, limits)

    service.ask = with_another
    for label in ("y", "x", "y"):
        open_by(service, label)
    assert asked == ["y", "x"]


def test_the_label_that_is_asked_for_makes_no_other_rows(
    service: DataService, folder: Path
) -> None:
    (folder / "bank.csv").write_text(ROWS)
    register(service, "bank", "bank.csv")
    digests = {open_by(service, label).digest() for label in (None, "x", "y")}
    assert len(digests) == 3
    found = service.contents("bank")
    assert found.keys() == digests
    assert set(found.values()) == {read(folder / "bank.csv", label="y").rows_digest()}
    assert service.all_contents() == found


def test_what_earlier_versions_looked_at_is_one_content(
    service: DataService, folder: Path, database: Database
) -> None:
    (folder / "bank.csv").write_text(ROWS)
    register(service, "bank", "bank.csv")
    digests = {open_by(service, label).digest() for label in (None, "x")}
    (rows,) = set(service.contents("bank").values())
    notes = json.loads(str(service._meta.get("data.bank")))
    for found in notes["facts"].values():
        del found["rows_digest"]
    service._meta.set("data.bank", json.dumps(notes))
    before = service.contents("bank")
    assert before.keys() == digests
    assert len(set(before.values())) == 1
    assert set(before.values()) <= digests
    last = open_by(service, "y").digest()
    assert service.contents("bank") == dict.fromkeys({*digests, last}, rows)


def test_rows_are_read_when_they_are_used(service: DataService, folder: Path) -> None:
    (folder / "bank.csv").write_text(ROWS)
    register(service, "bank", "bank.csv", label="y")
    table = service.tables().open("bank", id_column="id", label="y")
    assert table.matrix().tolist() == [[1.0], [2.0], [3.0]]
    assert table.label().tolist() == [0.0, 1.0, 1.0]


def test_a_changed_file_is_refused_and_a_touched_one_is_not(
    service: DataService, folder: Path
) -> None:
    path = folder / "bank.csv"
    path.write_text(ROWS)
    register(service, "bank", "bank.csv")
    os.utime(path, (1, 1))
    assert service.source("bank", id_column="id", label=None).rows == 3
    path.write_text(ROWS.replace("3", "4"))
    with pytest.raises(ConflictError, match="ATL-DAT-104"):
        service.source("bank", id_column="id", label=None)
    assert service.check("bank")["changed"]


def test_another_label_has_other_facts_and_a_label_is_no_feature(
    service: DataService, folder: Path
) -> None:
    (folder / "bank.csv").write_text(ROWS)
    register(service, "plain", "bank.csv")
    register(service, "bank", "bank.csv", label="y")
    plain = service.source("plain", id_column="id", label=None)
    labelled = service.source("plain", id_column="id", label="y")
    assert (plain.columns, labelled.columns) == (("x", "y"), ("x",))
    assert plain.digest != labelled.digest == read(folder / "bank.csv", label="y").digest()
    for asked in (("id", None), ("id", "x"), ("x", "y"), ("nothing", "y"), ("id", "nothing")):
        with pytest.raises(ConflictError, match="ATL-DAT-105"):
            service.source("bank", id_column=asked[0], label=asked[1])
    with pytest.raises(UserError, match=r"ATL-TAB-002.*'plain'"):
        service.source("plain", id_column="id", label="nothing")


@pytest.mark.parametrize(
    "path",
    ["../secret.csv", "/etc/passwd", "/no/such/file", "a/../../secret.csv", "\0", "x\ny", "", "."],
)
def test_paths_outside_are_refused_alike(service: DataService, folder: Path, path: str) -> None:
    (folder.parent / "secret.csv").write_text(ROWS)
    with pytest.raises(DeniedError, match="ATL-DAT-102"):
        register(service, "bank", path)
    assert service.list(limit=10, after=None).rows == []


def test_links_out_are_refused_and_links_put_in_later_too(
    service: DataService, folder: Path
) -> None:
    secret = folder.parent / "secret.csv"
    secret.write_text(ROWS)
    (folder / "link.csv").symlink_to(secret)
    with pytest.raises(DeniedError, match="ATL-DAT-102"):
        register(service, "bank", "link.csv")
    inside = folder / "bank.csv"
    inside.write_text(ROWS)
    register(service, "bank", "bank.csv")
    inside.unlink()
    inside.symlink_to(secret)
    with pytest.raises(DeniedError, match="ATL-DAT-102"):
        service.source("bank", id_column="id", label=None)
    with pytest.raises(DeniedError, match="ATL-DAT-102"):
        service.preview("bank", 3)


def test_folders_and_pipes_are_no_tables(service: DataService, folder: Path) -> None:
    (folder / "folder.csv").mkdir()
    os.mkfifo(folder / "pipe.csv")
    for name in ("folder.csv", "pipe.csv", "missing.csv"):
        with pytest.raises(NotFoundError, match="ATL-DAT-103"):
            register(service, "bank", name)


def test_folders_of_the_settings_are_allowed(
    database: Database, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "bank.csv").write_text(ROWS)
    settings = DataSettings(folders=(str(other),))
    made = DataService(database, Access(database), folder, settings)
    assert register(made, "bank", str(other / "bank.csv"))["rows"] == 3


@pytest.mark.parametrize("name", ["", "A", "../x", "a/b", "a.b", "x" * 64, "é", "a\0", "%2e%2e"])
def test_names_are_checked(service: DataService, folder: Path, name: str) -> None:
    (folder / "bank.csv").write_text(ROWS)
    with pytest.raises(UserError, match="ATL-DAT-101"):
        register(service, name, "bank.csv")


def test_an_upload_is_there_whole_and_can_be_replaced(service: DataService, folder: Path) -> None:
    first = upload(service, "bank", ROWS[:7].encode(), ROWS[7:].encode(), label="y")
    assert first["uploaded"]
    assert first["rows"] == 3
    second = upload(service, "bank", b"id,x\na,1\n")
    assert second["rows"] == 1
    assert len(files(folder)) == 1
    service.delete("bank", BY, force=False)
    assert files(folder) == []


def test_an_uploaded_parquet_file(service: DataService, folder: Path, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"id": ["a", "b"], "x": [1.0, 2.0]}), tmp_path / "t.parquet")
    data = (tmp_path / "t.parquet").read_bytes()
    assert upload(service, "bank", data, form="parquet")["rows"] == 2
    assert service.preview("bank", 5)["rows"] == [["a", 1.0], ["b", 2.0]]


BOMBS = {
    "open quote": b'id,x\na,"1\nb,2\n',
    "long field": b"id,x\na," + b"1" * (1 << 20),
    "nul": b"id,x\na,\0\n",
    "many columns": b"id," + b",".join(b"x%d" % i for i in range(70_000)) + b"\n",
    "not utf-8": b"id,x\n\xff\xfe,1\n",
    "header only": b"id,x\n",
    "twice the same id": b"id,x\na,1\na,2\n",
    "no id": b"key,x\na,1\n",
    "text": b"id,x\na,=cmd|' /C calc'!A0\n",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bad_files_leave_nothing(service: DataService, folder: Path, bomb: str) -> None:
    with pytest.raises(DataError) as caught:
        upload(service, "bank", BOMBS[bomb])
    assert caught.value.code.startswith("ATL-TAB-")
    assert files(folder) == []
    assert service.list(limit=10, after=None).rows == []


def test_too_large_empty_and_aborted_uploads_leave_nothing(
    service: DataService, folder: Path
) -> None:
    async def aborted() -> AsyncIterator[bytes]:
        yield b"id,x\n"
        raise ConnectionAbortedError

    with pytest.raises(UserError, match="ATL-DAT-106"):
        upload(service, "bank", ROWS.encode(), b"d,4,1\n" * (1 << 20))
    with pytest.raises(UserError, match="ATL-DAT-106"):
        upload(service, "bank")
    with pytest.raises((ConnectionAbortedError, EnvironmentFault)):
        asyncio.run(
            service.upload(
                "bank",
                aborted(),
                form="csv",
                id_column="id",
                label=None,
                description="",
                owner="ann",
            )
        )
    assert files(folder) == []


def test_a_look_beyond_its_limits_ends_without_harm(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atoll.flow.node.data.inspection._SPARE", 0)
    (folder / "bank.csv").write_text(ROWS)
    for limits in (InspectLimits(seconds=0.01), InspectLimits(memory=-(2 << 30) + (64 << 20))):
        made = DataService(database, Access(database), folder, DataSettings(inspect=limits))
        with pytest.raises(DataError, match="ATL-DAT-108"):
            register(made, "bank", "bank.csv")


def test_a_preview_is_short_and_has_no_formula(service: DataService, folder: Path) -> None:
    (folder / "bank.csv").write_text("id,=x\n=1+1,1.5\n@a,\n-b,-3\n")
    register(service, "bank", "bank.csv")
    shown = service.preview("bank", 2)
    assert shown["columns"] == ["id", "'=x"]
    assert shown["rows"] == [["'=1+1", 1.5], ["'@a", None]]


def test_what_is_used_is_not_deleted(
    service: DataService, database: Database, folder: Path
) -> None:
    (folder / "bank.csv").write_text(ROWS)
    register(service, "bank", "bank.csv")
    terms = GrantTerms(partners=("shop",), components=("psi",))
    made = service.grant("bank", terms, BY)
    with pytest.raises(ConflictError, match="ATL-DAT-107"):
        service.delete("bank", BY, force=False)
    assert [grant.id for grant in service.grants("bank", BY)] == [made.id]
    service.revoke(made.id, BY)
    steps = {"read": {"component": "reader", "parameters": {"tables": {"bank": "bank"}}}}
    row = JobRow(
        id="20261122000000-00000000",
        name="job",
        initiator="bank",
        state="running",
        created=1.0,
        updated=1.0,
        job={"name": "job", "steps": steps},
    )
    Jobs(database).create(row)
    with pytest.raises(ConflictError, match="ATL-DAT-107"):
        service.delete("bank", BY, force=False)
    service.delete("bank", BY, force=True)
    assert (folder / "bank.csv").is_file()
    with pytest.raises(AtollError, match="ATL-JOB-010"):
        service.source("bank", id_column="id", label=None)


def test_the_table_of_an_agreement_is_replaced_and_not_deleted(
    service: DataService, database: Database, folder: Path
) -> None:
    upload(service, "visits", ROWS.encode())
    job = {"steps": {"scores": {"component": "scoring", "parameters": {"tables": {"s": "visits"}}}}}
    row = JobRow(
        id="20261122000000-00000000",
        name="job",
        initiator="bank",
        state="success",
        created=1.0,
        updated=1.0,
        job=job,
    )
    Jobs(database).create(row)
    held = AgreementRow(
        id=f"{row.id}.scores",
        job=row.id,
        step="scores",
        plan_digest="p",
        party="bank",
        until="2999-12-31",
        day="2026-11-22",
        created=1.0,
        terms={},
    )
    agreements = Agreements(database)
    database.write(lambda c: agreements.add(held, {}, connection=c))
    upload(service, "visits", ROWS.encode())
    with pytest.raises(ConflictError, match="ATL-DAT-107") as caught:
        service.delete("visits", BY, force=False)
    assert held.id in (caught.value.hint or "")
    database.write(lambda c: agreements.change(held.id, {"ended": 2.0}, connection=c))
    service.delete("visits", BY, force=False)


def test_a_new_start_sweeps_what_a_killed_one_left(
    service: DataService, database: Database, folder: Path
) -> None:
    upload(service, "bank", ROWS.encode())
    kept = files(folder)
    (folder / ".incoming" / "half.csv").write_bytes(b"id")
    (folder / "uploads" / "bank-0123.csv").write_bytes(b"id")
    DataService(database, Access(database), folder)
    assert files(folder) == kept
