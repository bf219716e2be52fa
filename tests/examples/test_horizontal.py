"""The examples of horizontal learning run as they stand, and the guide has their claims."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "horizontal"
SHARED = {"common.py", "__main__.py"}
FILES = sorted(path.name for path in FOLDER.glob("*.py") if path.name not in SHARED)


def _run(name: str, *options: str) -> str:
    run = subprocess.run(
        [sys.executable, str(FOLDER / name), *options],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout + run.stderr[-4000:]
    return run.stdout


def claims() -> list[str]:
    """Return the files that compare something with a seed."""
    return [name for name in FILES if "Example(" in (FOLDER / name).read_text("utf-8")]


@pytest.mark.parametrize("name", claims())
def test_a_claim_holds_with_the_first_seed(name: str) -> None:
    assert "1 of 1 |" in _run(name, "--seeds", "1")


@pytest.mark.parametrize("name", [name for name in FILES if name not in claims()])
def test_an_example_runs(name: str) -> None:
    assert _run(name)


def test_the_guide_has_every_claim() -> None:
    guide = (ROOT / "docs" / "guide" / "horizontal.md").read_text("utf-8")
    table = guide.split("<!-- claims -->")[1].split("<!-- /claims -->")[0]
    listed = (FOLDER / "__main__.py").read_text("utf-8")
    for name in claims():
        text = (FOLDER / name).read_text("utf-8")
        claim = text.split("Example(")[1].split('"')[1]
        assert claim in table
        assert f"from {Path(name).stem} import" in listed
