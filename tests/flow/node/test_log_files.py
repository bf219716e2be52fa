"""The node's log file: bounded, whoever else writes to it, and untouched where it is not ours."""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any, TextIO, cast

import pytest

from atoll.cli import node_process
from atoll.flow.node import creating
from atoll.flow.node.folder import NodeFolder
from atoll.flow.node.log_files import BoundedLog

MOST = 1000
LINE = 100


def record(at: int) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "", 0, f"{at:0{LINE - 1}d}", None, None)


def handler(file: Path, files: int = 2, mode: str = "a", to: Path | None = None) -> BoundedLog:
    made = BoundedLog(file, MOST, files)
    made.setStream(cast(TextIO, (to or file).open(mode)))
    return made


def write(made: BoundedLog, lines: range) -> None:
    for at in lines:
        made.handle(record(at))
    made.stream.close()


def numbers(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()]


def test_a_log_past_its_size_starts_over_and_few_earlier_ones_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "node.log"
    write(handler(file), range(35))
    assert numbers(file) == list(range(30, 35))
    assert numbers(tmp_path / "node.log.1") == list(range(20, 30))
    assert numbers(tmp_path / "node.log.2") == list(range(10, 20))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "node.log", "node.log.1", "node.log.2",
    ]  # fmt: skip
    assert (tmp_path / "node.log.1").stat().st_mode & 0o077 == 0


def test_a_smaller_number_of_files_lets_go_of_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "node.log"
    write(handler(file, 3), range(45))
    write(handler(file, 1), range(45, 50))
    assert {path.name for path in tmp_path.iterdir()} == {"node.log", "node.log.1"}
    write(handler(file, 0), range(50, 60))
    assert {path.name for path in tmp_path.iterdir()} == {"node.log"}
    assert numbers(file) == []


def test_what_others_write_to_it_comes_to_the_same_file(tmp_path: Path) -> None:
    """A crash is written past all loggers, by whoever was given the descriptor."""
    file = tmp_path / "node.log"
    with file.open("ab", buffering=0) as other:
        other.write(b"7\n")
        write(handler(file), range(12))
        other.write(b"8\n")
    assert numbers(file) == [10, 11, 8]
    assert numbers(tmp_path / "node.log.1") == [7, *range(10)]


@pytest.mark.parametrize(("mode", "to"), [("w", "node.log"), ("a", "elsewhere")])
def test_what_is_not_the_nodes_file_or_does_not_append_is_left_alone(
    tmp_path: Path, mode: str, to: str
) -> None:
    file, target = tmp_path / "node.log", tmp_path / to
    file.write_text("")
    write(handler(file, mode=mode, to=target), range(30))
    assert numbers(target) == list(range(30))
    assert not (tmp_path / "node.log.1").exists()


def test_a_full_disk_empties_it_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*files: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    file = tmp_path / "node.log"
    write(handler(file), range(25))
    assert numbers(file) == list(range(20, 25))
    assert {path.name for path in tmp_path.iterdir()} == {"node.log"}


def test_a_node_bounds_the_file_that_it_was_given(tmp_path: Path) -> None:
    """Also one that was too large before it started."""
    root = tmp_path / "bank"
    quiet = {"http.port": "0", "gateway.listen": "", "workers.warm": "0", "log.bytes": "4096"}
    creating.create(root, "bank", settings=quiet)
    folder = NodeFolder(root)
    folder.make()
    folder.log.write_text("former\n" * 1000)
    with folder.log.open("ab") as log:
        command = [*node_process.command(folder), "--attached"]
        done = subprocess.run(command, input=b"", stdout=log, stderr=log, timeout=120)
    assert done.returncode == 0
    assert "stopping" in folder.log.read_text()
    assert folder.log.stat().st_size < 4096
    assert folder.log.with_name("node.log.1").read_text().startswith("former\n")
