from __future__ import annotations

import json
from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.flow.ledger import Ledger


def filled(folder: Path) -> Ledger:
    ledger = Ledger(folder)
    ledger.append("start", {"step": "psi"})
    ledger.extend([("reveal", {"elements": 3}), ("reveal", {"elements": 4})])
    return ledger


def test_lines_come_back_in_order_and_chained(tmp_path: Path) -> None:
    lines = list(filled(tmp_path).entries())
    assert [line["kind"] for line in lines] == ["start", "reveal", "reveal"]
    assert [line["number"] for line in lines] == [0, 1, 2]
    assert lines[1]["previous"] == lines[0]["hash"]


def test_another_process_goes_on_where_it_ended(tmp_path: Path) -> None:
    filled(tmp_path)
    Ledger(tmp_path).append("end", {})
    assert [line["number"] for line in Ledger(tmp_path).entries()] == [0, 1, 2, 3]


def test_an_empty_ledger_is_whole(tmp_path: Path) -> None:
    assert list(Ledger(tmp_path).entries()) == []


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_changed_line_is_noticed(tmp_path: Path, at: int) -> None:
    ledger = filled(tmp_path)
    lines = ledger.path.read_text().splitlines()
    changed = json.loads(lines[at])
    changed["elements"] = 99
    lines[at] = json.dumps(changed)
    ledger.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(AtollError, match="ATL-JOB-011"):
        list(ledger.entries())
    with pytest.raises(AtollError, match="ATL-JOB-011"):
        ledger.append("end", {})


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_a_cut_end_is_noticed(tmp_path: Path, keep: int) -> None:
    ledger = filled(tmp_path)
    lines = ledger.path.read_text().splitlines(keepends=True)
    ledger.path.write_text("".join(lines[:keep]))
    with pytest.raises(AtollError, match="ATL-JOB-011"):
        list(ledger.entries())


def test_lines_taken_out_or_swapped_are_noticed(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    lines = ledger.path.read_text().splitlines(keepends=True)
    for order in ([0, 2], [1, 0, 2], [0, 2, 1], [0, 1, 2, 2]):
        ledger.path.write_text("".join(lines[at] for at in order))
        with pytest.raises(AtollError, match="ATL-JOB-011"):
            list(ledger.entries())


@pytest.mark.parametrize(
    "text", ["", "x", "3", "-1 00", "99999999999999999999 zz", "3 " + "0" * 64]
)
def test_a_broken_or_foreign_head_is_noticed(tmp_path: Path, text: str) -> None:
    ledger = filled(tmp_path)
    (tmp_path / "ledger.head").write_text(text)
    with pytest.raises(AtollError, match="ATL-JOB-011"):
        list(ledger.entries())


def test_a_head_that_was_lost_is_noticed(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    (tmp_path / "ledger.head").unlink()
    with pytest.raises(AtollError, match="ATL-JOB-011"):
        list(ledger.entries())


def test_a_head_one_write_behind_is_a_crash_and_no_fraud(tmp_path: Path) -> None:
    ledger = filled(tmp_path)
    head = (tmp_path / "ledger.head").read_text()
    ledger.append("end", {})
    (tmp_path / "ledger.head").write_text(head)
    assert len(list(ledger.entries())) == 4
    ledger.append("start", {})
    assert len(list(ledger.entries())) == 5


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(AtollError) as caught:
        Ledger(blocked / "inner").append("start", {})
    assert caught.value.code == "ATL-JOB-012"
    assert caught.value.exit_code == 10
