"""Components of several shapes at four real nodes: a quorum, an arbiter, a helper, joined seats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atoll.components.scaffold import write
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan
from atoll.sdk import Client
from tests.components import packages
from tests.e2e.nodes import TestNode, nodes, table, until

LIMIT = 90.0
PARTIES = ("hub", "one", "two", "three")
SHAPES = {"mean": "star", "verdict": "arbiter", "product": "helper"}
ROWS = {"hub": 9, "one": 7, "two": 11, "three": 13}
# Where a file of this name lies, a client waits before it says anything.
HOLD = """
    while __import__("pathlib").Path({folder!r}, task.party.name).exists():
        __import__("time").sleep(0.05)
"""


def installed(folder: Path) -> Path:
    """Write, build and install a package of each shape; return where they are."""
    target = folder / "target"
    for name, shape in SHAPES.items():
        source = folder / name
        write(name, source, shape)
        if shape == "star":
            roles = source / "src" / "atoll_mean" / "roles.py"
            text = roles.read_text()
            line = '    party, table = task.party, task.inputs["table"]\n'
            assert line in text
            roles.write_text(text.replace(line, HOLD.format(folder=str(folder / "hold")) + line))
        packages.install(packages.build(source, folder / f"{name}-wheel"), target)
    return target


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TestNode]]:
    """Four nodes that approved the packages; each has a table, and grants it to all."""
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "hold").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(installed(folder)))
        with nodes(folder / "nodes", *PARTIES) as made:
            for at, (party, node) in enumerate(made.items()):
                file = folder / f"{party}.csv"
                file.write_bytes(table(at, ROWS[party], 2, label=True))
                with node.client() as client:
                    client.data.upload("rows", file, id="id", label="y")
                    plain = folder / f"{party}-plain.csv"
                    plain.write_bytes(table(at, ROWS[party], 2, label=False))
                    client.data.upload("plain", plain, id="id")
                    approve(client)
            yield made


def approve(client: Client) -> None:
    for offer in client.components.list().items:
        if offer.name in SHAPES:
            client.components.approve(offer.name, str(offer.digest))
    for name in ("rows", "plain"):
        client.data.grant(
            name,
            partners=["*"],
            automatic=True,
            columns=["*"],
            components=list(SHAPES),
            roles=["*"],
        )


def job(component: str, parties: dict[str, Any], readers: list[str], **parameters: Any) -> Job:
    tables = {party: "plain" if "host" in parties[party] else "rows" for party in readers}
    read = {"component": "reader", "parameters": {"tables": tables}}
    it = {"component": component, "inputs": {"table": "rows.table"}, "parameters": parameters}
    return parse_job({"name": component, "parties": parties, "steps": {"rows": read, "it": it}})


def outcome(node: TestNode, of: str, folder: Path) -> Any:
    """Return what a step left at a node, as JSON; None where it left nothing."""
    with node.client() as client:
        found = client.jobs.get(of)
        if not any((a.step, a.name) == ("it", "outcome") for a in found.artifacts().items):
            return None
        found.download("it", "outcome", folder / node.party)
        return json.loads((folder / node.party).read_bytes())


def test_a_helper_without_a_table_proposes_a_job_and_deals(
    four: dict[str, TestNode], tmp_path: Path
) -> None:
    parties = {"hub": "guest", "one": "host", "two": "helper"}
    with four["two"].client() as client:
        done = client.jobs.submit(job("product", parties, ["hub", "one"])).wait(LIMIT).check()
        plan = Plan.model_validate(done.plan().plan)
    assert plan.seats["rows"] == ("hub:guest", "one:host")
    assert plan.tables["two"] == {}
    found = {party: outcome(four[party], done.id, tmp_path) for party in ("hub", "one", "two")}
    assert found["hub"]["product"] == found["one"]["product"] == ROWS["hub"] * ROWS["one"]
    assert found["two"] is None


@pytest.mark.parametrize("arbiter", ["one", "two"])
def test_an_arbiter_of_its_own_or_at_the_host(
    four: dict[str, TestNode], tmp_path: Path, arbiter: str
) -> None:
    parties: dict[str, Any] = {"hub": "guest", "one": "host"}
    parties = parties | ({"one": ["host", "arbiter"]} if arbiter == "one" else {"two": "arbiter"})
    with four["hub"].client() as client:
        going = client.jobs.submit(job("verdict", parties, ["hub", "one"]))
        if arbiter == "two":
            # No grant speaks for a party without tables, so a person there does.
            with four["two"].client() as other:
                until(partial(waits, other, going.id))
                other.jobs.get(going.id).approve()
        done = going.wait(LIMIT).check()
        plan = Plan.model_validate(done.plan().plan)
    assert len(plan.seats["it"]) == 3
    assert any("one IS BOTH arbiter AND host" in text for text in plan.warnings) == (
        arbiter == "one"
    )
    for party in ("hub", "one"):
        assert outcome(four[party], done.id, tmp_path)["more"] is True


def test_a_client_whose_node_dies_is_left_behind(four: dict[str, TestNode], tmp_path: Path) -> None:
    clients = ["one", "two", "three"]
    parties = {"hub": "aggregator", **dict.fromkeys(clients, "client")}
    hold = hold_of(four)
    (hold / "three").touch()
    try:
        with four["hub"].client() as client:
            graph = job("mean", parties, clients, column="x0", least=2)
            going = client.jobs.submit(graph)
            until(partial(busy, four["three"], going.id), LIMIT)
            four["three"].kill()
            done = going.wait(LIMIT).check()
    finally:
        (hold / "three").unlink()
    found = {party: outcome(four[party], done.id, tmp_path) for party in ("hub", "one", "two")}
    assert {entry["mean"] for entry in found.values()} == {found["hub"]["mean"]}
    assert found["hub"]["clients"] == 2
    # Whoever comes back hears how it ended, and that it ended without it.
    with four["three"].start() as client:
        late = client.jobs.get(done.id).wait(LIMIT)
        assert late.view.state == "failed"


def hold_of(four: dict[str, TestNode]) -> Path:
    return four["hub"].folder.root.parents[1] / "hold"


def waits(client: Client, of: str) -> bool:
    found = [job for job in client.jobs.list().items if job.id == of]
    return bool(found) and found[0].state == "awaiting approval"


def busy(node: TestNode, of: str) -> bool:
    with node.client() as client:
        return any(w["job"] == of and w["step"] == "it" for w in client.status()["workers"])
