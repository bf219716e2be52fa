"""Rows for tests."""

from __future__ import annotations

from typing import Any

from atoll.flow.store import ArtifactRow, JobRow, TaskRow


def job(number: int = 1, **changes: Any) -> JobRow:
    """Make the job of this number."""
    values: dict[str, Any] = {
        "id": f"20260101000000-{number:08x}",
        "name": f"job {number}",
        "initiator": "alpha",
        "role": "guest",
        "owner": "ann",
        "state": "waiting",
        "created": float(number),
        "updated": float(number),
        "job": {"steps": ["a", "b"]},
    }
    return JobRow(**(values | changes))


def task(row: JobRow, step: str = "psi", attempt: int = 0, **changes: Any) -> TaskRow:
    """Make a task of a job."""
    values: dict[str, Any] = {"state": "waiting"}
    return TaskRow(job=row.id, step=step, attempt=attempt, **(values | changes))


def artifact(row: JobRow, digest: str, **changes: Any) -> ArtifactRow:
    """Make an artifact of a job."""
    values: dict[str, Any] = {"step": "psi", "attempt": 0, "name": "table", "kind": "table"}
    values |= {"bytes": 1, "created": 1.0}
    return ArtifactRow(job=row.id, digest=digest, **(values | changes))
