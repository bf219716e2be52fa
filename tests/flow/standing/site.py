"""Two nodes of this process, joined by TLS on loopback, with a model that both know."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.flow.node.configuration import load
from atoll.flow.node.node import Node
from atoll.jobs.definition import Job, parse_job
from atoll.sdk import Client
from tests.e2e.nodes import BRISK, EVERYTHING, TestNode, make, table, training_job, until

BANK, SHOP = "bank", "shop"
LIMIT = 60.0
FAR = "2999-12-31"


def today(days: int = 0) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%d")


@dataclass
class Site:
    """Running nodes and how they are reached."""

    made: dict[str, TestNode]
    nodes: dict[str, Node]
    clients: dict[str, Client]
    stack: ExitStack
    folder: Path
    model: str = ""

    def start(self, party: str, **more: str) -> None:
        """Start (again) one node in this process."""
        place = self.made[party]
        flags = {
            **BRISK,
            "http.port": "0",
            "gateway.listen": f"127.0.0.1:{place.port}",
            **more,
        }
        node = Node(place.folder, load(place.folder.root, flags=flags))
        url = node.start()
        self.nodes[party] = node
        self.clients[party] = Client(url, token=node.access.local_token)

    def stop(self, party: str) -> None:
        self.clients.pop(party).close()
        self.nodes.pop(party).close()

    def job(self, name: str = "agree", **parameters: Any) -> Job:
        return agreement_job(self.model, name, **parameters)

    def agree(self, name: str = "agree", **parameters: Any) -> str:
        """Run the job of an agreement; return the agreement's id once both nodes hold it."""
        job = self.clients[BANK].jobs.submit(self.job(name, **parameters)).wait(LIMIT).check()
        id = f"{job.id}.score"
        for node in self.nodes.values():
            until(partial(held, node, id))
        return id

    def ask(self, id: str, ids: Sequence[str], **more: Any) -> dict[str, Any]:
        return dict(self.nodes[BANK].sessions.ask(id, {"ids": list(ids), **more}, LIMIT))

    def used(self, party: str, id: str) -> int:
        return self.nodes[party].book.get(id).used

    def sessions(self, party: str) -> int:
        """How many sessions are open at a node."""
        return len(self.nodes[party].sessions._all)

    def idle(self, agreement: str) -> None:
        """Wait until no session of an agreement is open at any node."""
        held = [node.sessions for node in self.nodes.values()]
        until(lambda: not any(name == agreement for one in held for name, _ in list(one._all)))

    def end_all(self) -> None:
        """End every session, those that other tests left open as well."""
        held = [node.sessions for node in self.nodes.values()]
        for one in held:
            for session in list(one._all.values()):
                session.cancel(None)
        until(lambda: not any(one._all for one in held))

    def ledger(self, party: str) -> list[dict[str, Any]]:
        return list(self.nodes[party].policies.ledger.entries())


def held(node: Node, id: str) -> bool:
    try:
        node.book.get(id)
    except AtollError:
        return False
    return True


def known(client: Client, model: str) -> bool:
    return any(found.id == model for found in client.models.list().items)


def agreement_job(model: str, name: str = "agree", **parameters: Any) -> Job:
    whole = {
        "model": model,
        "tables": {BANK: "fresh", SHOP: "people"},
        "per_day": 10_000,
        "most": 20_000,
        "until": FAR,
        **parameters,
    }
    return parse_job(
        {
            "name": name,
            "parties": {BANK: "guest", SHOP: "host"},
            "steps": {"score": {"component": "scoring", "parameters": whole}},
        }
    )


def predicted(site: Site, tmp: Path, name: str = "scores.csv") -> dict[str, float]:
    """Score the rows of ``fresh`` in a job; return scores by id."""
    bank = site.clients[BANK]
    job = bank.models.predict_job(site.model, 1, {BANK: "fresh", SHOP: "people"})
    scored = bank.jobs.submit(job).wait(LIMIT).check()
    scored.download("prediction", "scores", tmp / name)
    with (tmp / name).open(newline="") as file:
        return {row["id"]: float(row["score"]) for row in csv.DictReader(file)}


def columns_of(ids: Sequence[str]) -> dict[str, list[float]]:
    """Return the guest's own columns of some rows, as the table ``fresh`` has them."""
    lines = table(0, 400, 4, label=True, first=0).decode().splitlines()
    head, *rows = [line.split(",") for line in lines]
    by_id = {row[0]: row for row in rows}
    return {name: [float(by_id[id][at]) for id in ids] for at, name in enumerate(head) if at >= 2}


@contextmanager
def site(folder: Path, **flags: str) -> Iterator[Site]:
    """Make and start both nodes, train, and register what an agreement needs."""
    with ExitStack() as stack:
        made = make(folder, BANK, SHOP)
        found = Site(made, {}, {}, stack, folder)
        try:
            for party in (BANK, SHOP):
                stack.enter_context(made[party].folder.locked())
                found.start(party, **flags)
            _fill(found, folder)
            trained = found.clients[BANK].jobs.submit(training_job(BANK, SHOP, trees=3))
            trained.wait(LIMIT).check()
            found.model = f"{trained.id}.boost"
            for client in found.clients.values():
                until(partial(known, client, found.model))
            yield found
        finally:
            for party in list(found.nodes):
                found.stop(party)


def _fill(found: Site, tmp: Path) -> None:
    bank, shop = found.clients[BANK], found.clients[SHOP]
    for number, (client, party) in enumerate(((bank, BANK), (shop, SHOP))):
        file = tmp / f"{party}.csv"
        file.write_bytes(table(number, 400, 4, label=party == BANK, first=10 * number))
        client.data.upload("people", file, id="id", label="y" if party == BANK else None)
    rows = [line.split(",") for line in (tmp / "bank.csv").read_text().splitlines()]
    rows = [[row[0], *row[2:]] for row in rows[:351]]
    (tmp / "fresh.csv").write_text("\n".join(",".join(row) for row in rows))
    bank.data.upload("fresh", tmp / "fresh.csv", id="id", label=None)
    # Standing agreements are in no "*".
    asked = {**EVERYTHING, "components": sorted(CATALOGUE)}
    shop.data.grant("people", partners=[BANK], automatic=True, **asked)
