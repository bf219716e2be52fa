from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.flow.outputs import PARTIAL, Outputs, sweep


def test_files_appear_all_at_once(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "runs")
    outputs.add("train", "model.json", b"{}")
    outputs.add_json("", "plan.json", {"b": 1, "a": [1.5]})
    assert not (tmp_path / "runs").exists()
    place = outputs.publish("one")
    assert (place / "train" / "model.json").read_bytes() == b"{}"
    assert json.loads((place / "plan.json").read_text()) == {"a": [1.5], "b": 1}
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["one"]


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "mine").write_text("mine")
    with pytest.raises(AtollError, match="ATL-JOB-013"):
        Outputs(tmp_path).publish("one")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one" / "mine").read_text() == "mine"


@pytest.mark.parametrize("name", ["../up", "/root", "", "A", ".hidden", "a" * 101, "a\n"])
def test_names_stay_inside_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(AtollError, match="ATL-INT-001"):
        Outputs(tmp_path).add("step", name, b"")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AtollError, match="ATL-JOB-012"):
        Outputs(tmp_path / "file" / "runs").publish("one")


def test_what_a_dead_process_left_is_swept_and_no_more(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    dead = tmp_path / f"{PARTIAL}{int(done.stdout)}-00"
    living = tmp_path / f"{PARTIAL}{os.getpid()}-00"
    for entry in (dead, living, tmp_path / "run"):
        entry.mkdir()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.name, "run"])
    sweep(tmp_path / "none")
