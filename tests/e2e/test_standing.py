"""A standing agreement between the processes of two nodes, of which one is killed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.sdk import Client
from tests.e2e.nodes import EVERYTHING, TestNode, fill, make, training_job, until
from tests.flow.standing.site import agreement_job, known

LIMIT = 60.0
ROWS = ["u00001", "u00002"]


def agreed(bank: Client, shop: Client) -> str:
    """Train, agree, and return the agreement's id once both nodes hold it."""
    trained = bank.jobs.submit(training_job("bank", "shop", trees=3)).wait(LIMIT).check()
    model = f"{trained.id}.boost"
    for client in (bank, shop):
        until(partial(known, client, model))
    tables = {"bank": "people", "shop": "people"}
    job = bank.jobs.submit(agreement_job(model, tables=tables, label="y")).wait(LIMIT).check()
    for client in (bank, shop):
        until(partial(holds, client, f"{job.id}.score"))
    return f"{job.id}.score"


def holds(client: Client, agreement: str) -> bool:
    return any(found.id == agreement for found in client.agreements.list().items)


def scored(client: Client, agreement: str) -> list[float | None] | None:
    """Ask; None if the session was lost meanwhile, as the next request opens another."""
    try:
        return list(client.agreements.score(agreement, ROWS).scores)
    except AtollError as error:
        if error.code not in ("ATL-AGR-009", "ATL-AGR-007"):
            raise
        return None


def idle(client: Client) -> bool:
    return all(worker["state"] == "warm" for worker in client.node.status()["workers"])


def ended(client: Client) -> dict[int, int]:
    """Return what was counted in each session, as its line in the ledger states."""
    lines: list[Any] = [e.body for e in client.ledger.list(limit=200).items if e.kind == "session"]
    found = {int(line["attempt"]): int(line["units"]) for line in lines}
    assert len(found) == len(lines)
    return found


def test_sessions_end_when_idle_and_a_killed_node_serves_again(tmp_path: Path) -> None:
    made: dict[str, TestNode] = make(tmp_path, "bank", "shop")
    for node in made.values():
        node.settings["standing.idle_seconds"] = "1"
    try:
        for node in made.values():
            node.start().close()
        fill(made, tmp_path, grants=False)
        with made["bank"].client() as bank:
            with made["shop"].client() as shop:
                terms = {**EVERYTHING, "components": sorted(CATALOGUE)}
                shop.data.grant("people", partners=["bank"], automatic=True, **terms)
                agreement = agreed(bank, shop)
                first = scored(bank, agreement)
                assert first is not None
                assert None not in first
                # Nobody asks: both workers are free again.
                for client in (bank, shop):
                    until(partial(idle, client))
                assert scored(bank, agreement) == first
            made["shop"].kill()
            made["shop"].start().close()
            assert until(lambda: scored(bank, agreement)) == first
            with made["shop"].client() as shop:
                # What the killed node had counted, it has counted still.
                assert shop.agreements.get(agreement).used >= 6
                until(partial(idle, shop))
                # A request may meet a session that ends, and open another: how many there were is
                # open. Each is in the ledger once, with all that was counted in it.
                until(lambda: sum(ended(shop).values()) == shop.agreements.get(agreement).used)
                assert len(ended(shop)) >= 3
    finally:
        for node in made.values():
            node.stop()
