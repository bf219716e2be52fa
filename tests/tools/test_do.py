"""The one command on machines that lack something."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def stand_in(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a folder of commands that holds little more than a shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "cat", "head"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def do(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(folder), "HOME": str(folder.parent)}
    return subprocess.run(
        [ROOT / "do", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )


def with_python(folder: Path) -> None:
    stand_in(folder, "python3", "echo /nowhere/python3")


def test_help_needs_nothing(bare: Path) -> None:
    done = do(bare, "--help")
    assert done.returncode == 0
    assert "demo" in done.stdout


def test_an_unknown_command_is_refused(bare: Path) -> None:
    done = do(bare, "fly")
    assert done.returncode == 1
    assert "no command 'fly'" in done.stderr


def test_an_old_python_is_named(bare: Path) -> None:
    stand_in(bare, "python3", '[ "$1" = --version ] && echo Python 3.8.1 || exit 1')
    done = do(bare, "check")
    assert done.returncode == 1
    assert "Python 3.11 or newer is missing (python3 is Python 3.8.1)" in done.stderr


def test_a_missing_rust_is_named(bare: Path) -> None:
    with_python(bare)
    done = do(bare, "check")
    assert done.returncode == 1
    assert "Rust toolchain (cargo) is missing" in done.stderr


def test_a_missing_linker_is_named(bare: Path) -> None:
    with_python(bare)
    stand_in(bare, "cargo", "echo cargo 1.95.0")
    done = do(bare, "check")
    assert done.returncode == 1
    assert "C linker (cc) is missing" in done.stderr


def test_a_python_without_venv_is_named(bare: Path, tmp_path: Path) -> None:
    stand_in(bare, "python3", 'case "$1" in -c) echo "$0" ;; *) exit 1 ;; esac')
    stand_in(bare, "cargo", "echo cargo 1.95.0")
    stand_in(bare, "cc", "")
    (bare / "rm").symlink_to(shutil.which("rm") or "")
    copy = tmp_path / "copy"
    (copy / "native").mkdir(parents=True)
    shutil.copy(ROOT / "do", copy / "do")
    done = subprocess.run(
        [copy / "do", "check"],
        env={"PATH": str(bare), "HOME": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot make virtual environments" in done.stderr
