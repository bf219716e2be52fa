"""Horizontal training over real nodes: three of ten clients are killed, and the aggregator is."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from atoll.core.report import LinePanel, TablePanel
from atoll.jobs.definition import Job, parse_job
from atoll.sdk import Client
from tests.e2e.nodes import TestNode, make, until
from tests.e2e.test_horizontal import table, trains

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]
LIMIT = 300.0
CLIENTS = tuple(f"owner{at}" for at in range(10))
GONE = CLIENTS[-3:]


@pytest.fixture(scope="module")
def eleven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TestNode]]:
    """An aggregator without a table, and ten clients that grant theirs."""
    folder = tmp_path_factory.mktemp("horizontal-faults")
    made = make(folder, "hub", *CLIENTS)
    try:
        for node in made.values():
            # A start takes its time on a busy machine: no partner is lost over it.
            node.settings["jobs.peer_seconds"] = "30"
        with ThreadPoolExecutor(4) as pool:
            for started in [pool.submit(node.start) for node in made.values()]:
                started.result().close()
        for seed, party in enumerate(CLIENTS):
            file = folder / f"{party}.csv"
            file.write_bytes(table(seed))
            with made[party].client() as client:
                client.data.upload("rows", file, id="id", label="y")
                client.data.grant(
                    "rows",
                    partners=["*"],
                    automatic=True,
                    columns=["*"],
                    components=["reader", "horizontal"],
                    roles=["*"],
                )
        yield made
    finally:
        for node in made.values():
            node.stop()


def job(clients: tuple[str, ...], **parameters: Any) -> Job:
    rows = {"component": "reader", "parameters": {"tables": dict.fromkeys(clients, "rows")}}
    train = {"component": "horizontal", "inputs": {"train": "rows.table"}}
    return parse_job(
        {
            "name": "faults",
            "seed": 11,
            "parties": {"hub": "aggregator", **dict.fromkeys(clients, "client")},
            "steps": {"rows": rows, "train": {**train, "parameters": parameters}},
        }
    )


def begun(client: Client, of: str) -> bool:
    """Return whether some rounds are over; a job that ended before has failed."""
    found = trains(client, of)
    if not found and client.jobs.get(of).state == "failed":
        client.jobs.get(of).check()
    return found


def succeeded(client: Client, of: str) -> bool:
    return bool(client.jobs.get(of).state == "success")


def curve(client: Client, of: str) -> tuple[list[float], list[float]]:
    """Return rounds and accuracy as the aggregator's report shows them."""
    panels = {panel.title: panel for panel in client.jobs.get(of).report("train").panels}
    panel = panels["Accuracy"]
    assert isinstance(panel, LinePanel)
    return list(panel.series[0].x), list(panel.series[0].y)


def models(made: dict[str, TestNode], clients: tuple[str, ...], of: str) -> dict[str, list[str]]:
    """Return the digest of the trained model at each of these clients, once it has succeeded."""
    found = {}
    for party in clients:
        with made[party].client() as client:
            until(partial(succeeded, client, of), LIMIT)
            held = client.jobs.get(of).artifacts().items
            found[party] = [a.digest for a in held if (a.step, a.name) == ("train", "model")]
    return found


@pytest.mark.parametrize("sum_", ["masked", "plain"])
def test_three_of_ten_clients_are_killed_at_once(eleven: dict[str, TestNode], sum_: str) -> None:
    stay = CLIENTS[:-3]
    with eleven["hub"].client() as client:
        going = client.jobs.submit(job(CLIENTS, rounds=60, sum=sum_), options={"reuse": False})
        until(partial(begun, client, going.id), LIMIT)
        for party in GONE:
            eleven[party].kill()
        try:
            done = going.wait(LIMIT).check()
        finally:
            for party in GONE:
                eleven[party].start().close()
        panels = {panel.title: panel for panel in done.report("train").panels}
        rounds, accuracy = curve(client, done.id)
    left = panels["Clients that left"]
    assert isinstance(left, TablePanel)
    assert {line[0] for line in left.rows} == set(GONE)
    assert rounds == list(range(61))
    assert accuracy[-1] > 0.85
    assert all(models(eleven, stay, done.id).values())


@pytest.mark.parametrize("sum_", ["masked", "plain"])
def test_a_killed_aggregator_goes_on_to_the_same_bits(
    eleven: dict[str, TestNode], sum_: str
) -> None:
    clients = CLIENTS[:4]
    wanted = job(clients, rounds=60, sum=sum_, minimum_clients=4)
    with eleven["hub"].client() as client:
        uncut = client.jobs.submit(wanted, options={"reuse": False}).wait(LIMIT).check().id
        going = client.jobs.submit(wanted, options={"reuse": False})
        until(partial(begun, client, going.id), LIMIT)
    eleven["hub"].kill()
    eleven["hub"].start().close()
    with eleven["hub"].client() as client:
        done = client.jobs.get(going.id).wait(LIMIT).check()
        resumed = [e.data["round"] for e in done.events().items if e.kind == "resumed"]
        assert resumed
        assert 0 not in resumed
        assert curve(client, done.id) == curve(client, uncut)
    same = models(eleven, clients, uncut)
    assert all(same.values())
    assert models(eleven, clients, done.id) == same
