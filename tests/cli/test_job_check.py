"""``atoll job check``: what cannot run is refused without a node and without a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atoll.cli.main import run

JOB: dict[str, Any] = {
    "name": "loans",
    "parties": {"bank": "guest", "shop": "host"},
    "steps": {
        "reader": {
            "component": "reader",
            "parameters": {"tables": {"bank": "loans", "shop": "visits"}},
        },
        "psi": {"component": "psi", "inputs": {"table": "reader.table"}},
        "train": {"component": "boosting", "inputs": {"train": "psi.table"}},
    },
}


def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str], job: Any) -> tuple[int, str]:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(job))
    code = run(["job", "check", str(file)])
    return code, capsys.readouterr().err


def test_a_job_that_can_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, capsys, JOB) == (0, "")


@pytest.mark.parametrize(
    ("code", "steps"),
    [
        ("ATL-PLN-008", {"train": {**JOB["steps"]["train"], "inputs": {"train": "reader.table"}}}),
        ("ATL-PLN-007", {"psi": {**JOB["steps"]["psi"], "parameters": {"receivers": "guest"}}}),
    ],
)
def test_a_job_that_cannot(
    code: str, steps: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed = checked(tmp_path, capsys, {**JOB, "steps": {**JOB["steps"], **steps}})
    assert status == 2
    assert code in printed
    assert "train" in printed
