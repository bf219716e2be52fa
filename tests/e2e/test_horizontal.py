"""Horizontal training over real nodes: masked sums, a client that dies, predictions of own rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atoll.core.report import LinePanel, TablePanel
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.errors import NotFoundError
from atoll.jobs.plan import Plan
from atoll.sdk import Client
from tests.e2e.nodes import TestNode, nodes, until

LIMIT = 120.0
CLIENTS = ("one", "two", "three", "four")
ROWS = 300


def table(seed: int) -> bytes:
    """Return a client's rows as CSV; the label follows from both columns, alike at all clients."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(ROWS, 2)).round(4)
    label = (values @ [2.0, -1.0] + 0.3 * random.normal(size=ROWS) > 0).astype(int)
    lines = [
        f"{seed}-{at},{y},{a},{b}" for at, (y, (a, b)) in enumerate(zip(label, values, strict=True))
    ]
    return "\n".join(["id,y,a,b", *lines, ""]).encode()


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TestNode]]:
    """An aggregator without a table, and four clients that grant theirs."""
    folder = tmp_path_factory.mktemp("horizontal")
    with nodes(folder, "hub", *CLIENTS) as made:
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
                    components=["reader", "horizontal", "local_prediction"],
                    roles=["*"],
                )
        yield made


def job(*, score: bool = True, **parameters: Any) -> Job:
    parties = {"hub": "aggregator", **dict.fromkeys(CLIENTS, "client")}
    rows = {"component": "reader", "parameters": {"tables": dict.fromkeys(CLIENTS, "rows")}}
    train = {"component": "horizontal", "inputs": {"train": "rows.table"}}
    steps = {"rows": rows, "train": {**train, "parameters": parameters}}
    if score:
        inputs = {"model": "train.model", "table": "rows.table"}
        steps["score"] = {"component": "local_prediction", "inputs": inputs}
    return parse_job({"name": "horizontal", "parties": parties, "steps": steps})


def scores(node: TestNode, of: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and scores of a client's own rows."""
    with node.client() as client:
        client.jobs.get(of).download("score", "file.predictions.csv", folder / node.party)
    found = list(csv.DictReader(io.StringIO((folder / node.party).read_text())))
    return (
        np.array([float(line["label"]) for line in found]),
        np.array([float(line["score"]) for line in found]),
    )


@pytest.mark.parametrize("sum_", ["masked", "plain"])
def test_four_owners_train_one_model(five: dict[str, TestNode], tmp_path: Path, sum_: str) -> None:
    with five["hub"].client() as client:
        done = client.jobs.submit(job(rounds=5, sum=sum_)).wait(LIMIT).check()
        plan = Plan.model_validate(done.plan().plan)
    assert set(plan.seats["train"]) == {"hub:aggregator", *(f"{name}:client" for name in CLIENTS)}
    with five["one"].client() as client:
        tags = {t.tag.partition("/")[2] for t in client.jobs.get(done.id).traffic().items}
    assert ("change" in tags) == (sum_ == "plain")
    for party in CLIENTS:
        label, score = scores(five[party], done.id, tmp_path)
        assert ((score >= 0.5) == label).mean() > 0.85


def test_a_client_whose_node_dies_is_left_behind(five: dict[str, TestNode]) -> None:
    with five["hub"].client() as client:
        going = client.jobs.submit(job(score=False, rounds=60))
        until(partial(trains, client, going.id), LIMIT)
        five["four"].kill()
        try:
            done = going.wait(LIMIT).check()
        finally:
            five["four"].start().close()
        panels = {panel.title: panel for panel in done.report("train").panels}
    left, curve = panels["Clients that left"], panels["Accuracy"]
    assert isinstance(left, TablePanel)
    assert isinstance(curve, LinePanel)
    assert [line[0] for line in left.rows] == ["four"]
    assert curve.series[0].y[-1] > 0.85
    assert len(curve.series[0].y) == 61


def trains(client: Client, of: str) -> bool:
    """Return whether some rounds are over."""
    try:
        return len(client.jobs.get(of).metrics("train").items) > 4
    except NotFoundError:
        return False
