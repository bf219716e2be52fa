"""Providing database servers: what is run, what is told, and that nothing of ours stays behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools import programs
from tools.test import needs_servers

APT = """#!/bin/sh
echo "$@" >> "$CALLS"
cat "$POLICY" >> "$CALLS" 2>/dev/null
exit $CODE
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of root's with an ``apt-get`` that only notes what it was asked."""
    apt = tmp_path / "apt-get"
    apt.write_text(APT)
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("POLICY", str(tmp_path / "policy"))
    monkeypatch.setenv("CODE", "0")
    monkeypatch.delenv("ATOLL_DO_SYNC", raising=False)
    monkeypatch.setattr(programs, "_POLICY", tmp_path / "policy")
    monkeypatch.setattr(programs, "find_mariadb", lambda: None)
    monkeypatch.setattr(programs, "find_postgres", lambda: Path("/somewhere"))
    monkeypatch.setattr(programs, "find_chromium", lambda: Path("/somewhere"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def calls(machine: Path) -> list[str]:
    path = machine / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_what_is_missing_is_installed_without_starting_it(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.provide()
    done = calls(machine)
    assert done[0] == "install -y -q --no-install-recommends mariadb-server"
    assert done[-1] == "exit 101"
    assert not (machine / "policy").exists()
    level_names = capsys.readouterr().err
    assert "installing MariaDB" in level_names
    # It is still missing here, and that is told once, loudly.
    assert level_names.count("ITS TESTS ARE SKIPPED") == 1


def test_a_failing_installation_updates_its_lists_once(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODE", "100")
    (machine / "policy").write_text("the administrator's own\n")
    programs.provide()
    asked = [line.split()[0] for line in calls(machine) if not line.startswith("the")]
    assert asked == ["install", "update", "install"]
    assert (machine / "policy").read_text() == "the administrator's own\n"
    assert "apt-get failed" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["another user", "left as it is"])
def test_where_we_may_not_nothing_is_installed(
    machine: Path, monkeypatch: pytest.MonkeyPatch, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if way == "another user":
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    else:
        monkeypatch.setenv("ATOLL_DO_SYNC", "0")
    programs.provide()
    assert calls(machine) == []
    assert "MariaDB IS MISSING: ITS TESTS ARE SKIPPED" in capsys.readouterr().err


def test_only_runs_that_hold_such_tests_need_servers() -> None:
    for paths in ([], ["tests"], ["tests/flow"], ["tests/flow/store/test_files.py::test_x"]):
        assert needs_servers(paths)
    assert not needs_servers(["tests/table", "tests/core/test_codec.py"])
