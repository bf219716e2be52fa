"""What is shown of a job at the very moment in which it ends."""

from __future__ import annotations

from typing import Any

import pytest

from atoll.flow.control import JobRecord
from tests.flow.api.site import JOB, Site


def test_who_sees_an_end_sees_when_it_was(node_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: Any = node_site.node.services.jobs
    control = jobs._control
    peek = control.peek
    with node_site.client("everybody") as client:
        job = client.post("/jobs", json={"job": JOB}).json()["id"]

        def ended_now(name: str) -> JobRecord | None:
            monkeypatch.undo()
            client.post(f"/jobs/{name}/stop").raise_for_status()
            found: JobRecord | None = peek(name)
            return found

        monkeypatch.setattr(control, "peek", ended_now)
        shown = jobs.get(job)
    assert shown["state"] == "cancelled"
    assert shown["ended"] is not None
