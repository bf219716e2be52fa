"""Single scores under a standing agreement, for ``flow.standing``.

``one`` is a request for one row from the client's call until it has the score: through the HTTP
API, both nodes' counters (a commit each) and both workers. ``many`` are requests for 300 rows.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from atoll.components.catalogue import CATALOGUE
from atoll.jobs.definition import Job, parse_job
from atoll.sdk import Client
from bench.nodes import GUEST, HOST, BenchNode, cpu_seconds, load, three_steps

ONE, MANY, BATCH = 200, 40, 300
_PATIENCE = 120.0
_PARTIES = {GUEST: "guest", HOST: "host"}


def measure(made: Mapping[str, BenchNode], rows: int) -> Iterator[dict[str, Any]]:
    """Train on the tables ``people``, agree, and yield the lines; each node has its own."""
    with made[GUEST].client() as client, made[HOST].client() as host:
        host.data.grant(
            "people",
            partners=[GUEST],
            automatic=True,
            columns=["*"],
            components=sorted(CATALOGUE),
            roles=["host"],
        )
        agreement = _agreed(client, host)
        ids = [f"u{at:06d}" for at in range(min(rows, BATCH))]
        client.agreements.score(agreement, ids[:1])
        for name, size, runs in (("one", 1, ONE), ("many", len(ids), MANY)):
            yield _line(made, client, agreement, ids[:size], name, runs)


def _line(
    made: Mapping[str, BenchNode],
    client: Client,
    agreement: str,
    ids: list[str],
    name: str,
    runs: int,
) -> dict[str, Any]:
    taken = []
    before = sum(cpu_seconds(node.pid) for node in made.values())
    for _ in range(runs):
        start = time.perf_counter()
        client.agreements.score(agreement, ids)
        taken.append(time.perf_counter() - start)
    spent = sum(cpu_seconds(node.pid) for node in made.values()) - before
    ranked = sorted(taken)
    median = statistics.median(taken)
    return {
        "name": "flow.standing",
        "params": {
            "rows": len(ids),
            "requests": runs,
            "how": name,
            "least": ranked[0],
            "p99": ranked[int(0.99 * (runs - 1))],
        },
        "seconds": median,
        "node_cpu_seconds": spent / runs,
        "rate": len(ids) / median,
        "load": load(),
    }


def _agreed(client: Client, host: Client) -> str:
    trained = client.jobs.submit(_training()).wait(_PATIENCE).check()
    model = f"{trained.id}.boost"
    for one in (client, host):
        _until(partial(_has, one, model))
    job = client.jobs.submit(_standing(model)).wait(_PATIENCE).check()
    agreement = f"{job.id}.score"
    for one in (client, host):
        _until(partial(_holds, one, agreement))
    return agreement


def _until(check: Any) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not check():
        if time.monotonic() > deadline:
            raise RuntimeError("it did not come to that in time")
        time.sleep(0.05)


def _has(client: Client, model: str) -> bool:
    return any(found.id == model for found in client.models.list().items)


def _holds(client: Client, agreement: str) -> bool:
    return any(found.id == agreement for found in client.agreements.list().items)


def _training() -> Job:
    steps = three_steps("train").canonical()["steps"]
    del steps["sum"]
    steps["boost"] = {
        "component": "boosting",
        "inputs": {"train": "match.table"},
        "parameters": {"trees": 10, "depth": 4},
    }
    return parse_job({"name": "train", "parties": _PARTIES, "steps": steps})


def _standing(model: str) -> Job:
    parameters = {
        "model": model,
        "tables": {GUEST: "people", HOST: "people"},
        "label": "y",
        "per_day": 1_000_000,
        "most": 1_000_000,
        "until": "2999-12-31",
    }
    steps = {"score": {"component": "scoring", "parameters": parameters}}
    return parse_job({"name": "agree", "parties": _PARTIES, "steps": steps})
