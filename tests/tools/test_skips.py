"""With CI=true a skip is a failure, but for want of data or of instructions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"


def outcome(folder: Path, text: str, ci: str) -> str:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_sample.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    environment = os.environ | {"CI": ci}
    for name in ("ATOLL_DATA", "PYTEST_ADDOPTS"):
        environment.pop(name, None)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout.strip().splitlines()[-1]


SKIP = "import pytest\ndef test_it():\n    pytest.skip('{}')\n"
WITH_DATA = "def test_it(atoll_data):\n    raise AssertionError\n"
MODULE = "import pytest\npytest.skip('no browser', allow_module_level=True)\n"


@pytest.mark.parametrize(
    ("text", "ci", "expected"),
    [
        (SKIP.format("no browser"), "true", "1 failed"),
        (SKIP.format("no browser"), "", "1 skipped"),
        (SKIP.format("needs instruction set avx512"), "true", "1 skipped"),
        (WITH_DATA, "true", "1 skipped"),
        (MODULE, "true", "1 error"),
    ],
)
def test_skips(tmp_path: Path, text: str, ci: str, expected: str) -> None:
    assert outcome(tmp_path, text, ci).startswith(expected)
