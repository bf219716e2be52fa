from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atoll.core.errors import AtollError
from atoll.flow import worker
from atoll.flow.specification import read_specification
from atoll.flow.tables import FileTables, folder_tables
from tests.flow import toy


def written(path: Path, **changes: Any) -> Path:
    whole = {"folder": str(path.parent), "job": toy.job().model_dump(mode="json"), **changes}
    path.write_text(json.dumps(whole))
    return path


def test_a_specification_is_read(tmp_path: Path) -> None:
    peers = {"shop": "127.0.0.1:1", "mill": None}
    found = read_specification(written(tmp_path / "w.json", peers=peers))
    assert found.job == toy.job()
    assert found.peers == peers


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"job": {"name": "x"}},
        {"job": None},
        {"approve": "nothing"},
        {"approve": {"digest": "short"}},
        {"approve": {"digest": "0" * 64, "runs": 0}},
        {"peers": ["shop"]},
    ],
)
def test_another_shape_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(AtollError, match="ATL-JOB-003"):
        read_specification(written(tmp_path / "w.json", **changes))


def test_addresses_are_told_later(tmp_path: Path) -> None:
    found = read_specification(written(tmp_path / "w.json", ask_peers=True))
    assert found.told('{"shop": "127.0.0.1:1"}').peers == {"shop": "127.0.0.1:1"}
    assert found.told('{"shop": "127.0.0.1:1"}').job == found.job
    for line in ("", "[]", '{"shop": 1}', "{"):
        with pytest.raises(AtollError, match="ATL-JOB-003"):
            found.told(line)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "w.json"
    path.write_text(text)
    with pytest.raises(AtollError, match="ATL-JOB-003"):
        read_specification(path)


def test_the_worker_says_its_error_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "listen_to_signals", lambda work: None)
    assert worker.main([]) == 2
    assert worker.main([str(tmp_path / "none.json")]) == 3
    capsys.readouterr()
    assert worker.main([str(written(tmp_path / "w.json"))]) == 2
    said = capsys.readouterr()
    assert said.err.count("ATL-PTY-002") == 1
    assert [json.loads(line)["event"] for line in said.out.splitlines()] == ["failed"]


def test_tables_lie_in_the_folder_by_name(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "people.csv").write_text("id,x\na,1\n")
    tables = FileTables(folder_tables(tmp_path))
    table = tables.open("people", id_column="id", label=None)
    assert table.columns == ("x",)
    assert tables.open("people", id_column="id", label=None) is table
    with pytest.raises(AtollError) as caught:
        tables.open("poeple", id_column="id", label=None)
    assert caught.value.code == "ATL-JOB-010"
    assert caught.value.hint == "did you mean people?"
    assert folder_tables(tmp_path / "none") == {}
