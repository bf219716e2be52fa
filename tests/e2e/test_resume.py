"""A worker is killed in tree 7 of 20 at real nodes: the job goes on at tree 7, to the same end."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atoll.core.report import Report, TablePanel
from atoll.flow.work.own_process import KILL_AT
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.errors import NotFoundError
from atoll.sdk import Client
from tests.e2e.nodes import LONG, TestNode, fill, make, training_job, until

TREE = 7
# The victim dies between two levels of tree 7: one message of candidates for each of three levels.
WHERE = f"{3 * TREE + 1}:candidates"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TestNode]]:
    root = tmp_path_factory.mktemp("resuming")
    made = make(root, "bank", "shop")
    try:
        for node in made.values():
            # A start takes its time on a busy machine: no partner is lost over it.
            node.settings["jobs.peer_seconds"] = "60"
            node.start().close()
        fill(made, root, rows=600)
        yield made
    finally:
        for node in made.values():
            node.stop()


@pytest.fixture(scope="module")
def uncut(two: dict[str, TestNode]) -> str:
    """Return a job that nothing happened to."""
    return ended(two)


def seeded() -> Job:
    plain = training_job("bank", "shop", trees=20).canonical() | {"seed": 5}
    plain["steps"]["boost"]["parameters"] |= {"minimum_rows": 0, "minimum_leaf_rows": 1}
    return parse_job(plain)


def ended(two: dict[str, TestNode]) -> str:
    """Run the job and wait until all parties know that it succeeded."""
    with two["bank"].client() as bank, two["shop"].client() as shop:
        job = bank.jobs.submit(seeded(), options={"reuse": False})
        job.wait(LONG).check()
        until(partial(succeeded, shop, job.id))
    return job.id


def succeeded(client: Client, job: str) -> bool:
    return bool(client.jobs.get(job).state == "success")


def left(client: Client, job: str) -> dict[str, Any]:
    """Return all that training, scoring and judging left at a node, but for seconds."""
    job_ = client.jobs.get(job)
    found: dict[str, Any] = {
        f"{a.step}.{a.name}": a.digest
        for a in job_.artifacts().items
        if a.step in ("boost", "score", "judge") and a.name != "report"
    }
    for step, report in job_.reports().items():
        found[f"{step} report"] = timeless(report)
    losses = job_.metrics("boost").items
    return found | {"losses": [(p.name, p.number, p.value) for p in losses]}


def at_tree(job: Any, number: int) -> bool:
    """Return whether a training has ended so many trees."""
    try:
        return len(job.metrics("boost").items) >= number
    except NotFoundError:
        return False


def nothing(folder: Path) -> bool:
    """Return whether no checkpoints are left below a folder."""
    return not list(folder.rglob("checkpoints"))


def timeless(report: Report) -> Any:
    panels = []
    for panel in report.panels:
        whole = panel.model_dump(mode="json")
        if isinstance(panel, TablePanel) and "seconds" in panel.columns:
            at = panel.columns.index("seconds")
            whole["rows"] = [[v for i, v in enumerate(row) if i != at] for row in whole["rows"]]
        panels.append(whole)
    return panels


@pytest.mark.parametrize("victim", ["bank", "shop"])
def test_a_worker_killed_in_tree_7_goes_on_there_to_the_same_model(
    two: dict[str, TestNode], uncut: str, victim: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    two[victim].stop()
    monkeypatch.setenv(KILL_AT, WHERE)
    two[victim].start().close()
    monkeypatch.delenv(KILL_AT)
    try:
        cut = ended(two)
    finally:
        two[victim].stop()
        two[victim].start().close()
    for node in two.values():
        with node.client() as client:
            job = client.jobs.get(cut)
            assert job.view.steps["boost"].attempt == 2
            reported = [line.message for line in job.log("boost", attempt=2).items]
            assert f"resumed at round {TREE}" in reported
            events = [e for e in job.events().items if e.kind == "resumed"]
            assert [(e.step, e.attempt, e.data) for e in events] == [("boost", 2, {"round": TREE})]
            assert left(client, cut) == left(client, uncut)
            assert {"boost.model", "boost report", "losses"} <= left(client, cut).keys()
        log = node.folder.log.read_text(encoding="utf-8")
        assert f"job {cut}: step boost, attempt 2, resumed at round {TREE}" in log
        kept = node.folder.jobs / cut
        until(partial(nothing, kept))


def test_a_rerun_begins_anew(two: dict[str, TestNode], uncut: str) -> None:
    with two["bank"].client() as bank, two["shop"].client() as shop:
        job = bank.jobs.get(uncut).rerun("boost")
        until(lambda: job.refresh().state == "success")
        until(partial(succeeded, shop, job.id))
        assert not [e for e in job.events().items if e.kind == "resumed"]


@pytest.mark.drill
@pytest.mark.parametrize("victim", ["bank", "shop"])
def test_a_killed_node_goes_on_too(two: dict[str, TestNode], victim: str) -> None:
    with two["bank"].client() as bank:
        job = bank.jobs.submit(training_job("bank", "shop", trees=150), options={"reuse": False})
        until(partial(at_tree, job, 4))
    two[victim].kill()
    two[victim].start().close()
    with two["bank"].client() as bank:
        view = bank.jobs.get(job.id).wait(2 * LONG).check()
        rounds = {e.data["round"] for e in view.events().items if e.kind == "resumed"}
        assert rounds
        assert rounds <= set(range(2, 151))
        points = view.metrics("boost").items
        assert [point.number for point in points] == list(range(1, 151))
