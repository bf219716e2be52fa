"""Runs ``atoll demo --horizontal`` from the digits to the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atoll.cli.console import amount, table
from atoll.cli.demo import horizontal, stage
from atoll.cli.demo.horizontal import ALGORITHMS, EPSILON, HUB, OWNERS, PRIVATE, Digits
from atoll.cli.demo.horizontal_page import NAMES, PRIVATE_NAME, trainings
from atoll.learning.horizontal.parties.privacy import Privacy
from atoll.sdk import Client, Job


def run(options: stage.Options, rounds: int) -> dict[str, Any]:
    """Run the demo and return its result. Errors: ATL-CLI-001, those of the jobs."""

    def play(options: stage.Options, folder: Path, report: Path) -> dict[str, Any]:
        return _play(options, rounds, folder, report)

    return stage.run(options, play)


def _play(options: stage.Options, rounds: int, folder: Path, report: Path) -> dict[str, Any]:
    from atoll.cli.demo import horizontal_page, progress
    from atoll.cli.demo.nodes import nodes
    from atoll.report.page import write_html

    shares = horizontal.digits(options.seed)
    result = _begun(shares)
    with progress.display() as shown:
        shown.note("digits (scikit-learn): four owners and an aggregator, one node each")
        parties = (HUB, *OWNERS)
        with nodes(folder, parties, keep=options.keep) as made, made.clients() as clients:
            horizontal.bring(clients, shares, folder)
            shown.note("all nodes are up and trust each other")
            for algorithm in ALGORITHMS:
                shown.note(f"{NAMES[algorithm]}: {rounds} rounds under a masked sum")
                job = horizontal.pipeline(algorithm, rounds, options.seed, {"algorithm": algorithm})
                done, took, found = horizontal.run(clients, job, shown)
                result["algorithms"][algorithm] = took | horizontal.curves(found)
            result["reveals"] = _revealed(clients, done)
            result["warnings"] = list(done.plan().plan["warnings"])  # type: ignore[arg-type]
            shown.note(f"with privacy of rows, ε = {EPSILON:g}: {rounds} rounds")
            job = horizontal.pipeline("privacy", rounds, options.seed, PRIVATE)
            done, took, found = horizontal.run(clients, job, shown)
            result["privacy"] = {
                **took,
                **horizontal.owners_curves(clients, done.id, shares),
                "epsilon": horizontal.epsilons(found),
                "delta": Privacy(epsilon=EPSILON).delta,
                "warnings": list(done.plan().plan["warnings"]),  # type: ignore[arg-type]
            }
    if options.keep:
        result["nodes"] = stage.kept(made)
    report.parent.mkdir(parents=True, exist_ok=True)
    write_html([horizontal_page.report(result)], report)
    return {**result, "report": str(report)}


def _begun(shares: Digits) -> dict[str, Any]:
    rows = {owner: table.num_rows for owner, table in shares.train.items()}
    held = {owner: table.num_rows for owner, table in shares.test.items()}
    data = {"owners": len(rows), "training rows": sum(rows.values())}
    return {
        "data": {**data, "held-out rows": sum(held.values())},
        "rows": {owner: {"train": rows[owner], "test": held[owner]} for owner in rows},
        "classes": shares.classes,
        "algorithms": {},
    }


def _revealed(clients: Mapping[str, Client], job: Job) -> list[dict[str, Any]]:
    """Return what was sent in the last training, one line for each kind of message and way."""
    found: dict[tuple[str, str, str], int] = {}
    for party, client in clients.items():
        sender = HUB if party == HUB else "owners"
        for line in client.ledger.all():
            body = line.body
            if line.kind == "reveal" and isinstance(body, dict) and body.get("run") == job.id:
                receiver = HUB if body["receiver"] == HUB else "owners"
                key = (sender, receiver, str(body["what"]))
                found[key] = found.get(key, 0) + int(body["elements"])
    return [
        {"from": sender, "to": receiver, "values": values, "what": what}
        for (sender, receiver, what), values in sorted(found.items())
    ]


def summary(result: Mapping[str, Any]) -> str:
    """Return the result for people."""
    shares = [("owner", "rows", "held out", *map(str, range(10)))]
    for owner, counts in result["classes"].items():
        rows = result["rows"][owner]
        shares.append((owner, str(rows["train"]), str(rows["test"]), *map(str, counts)))
    trained = [("algorithm", "accuracy", "loss", "seconds", "sent", "received")]
    for name, found in trainings(result).items():
        trained.append(
            (
                name,
                f"{found['accuracy']:.4f}",
                f"{found['loss']:.4f}",
                f"{found['seconds']:.2f}",
                amount(found["bytes_sent"]),
                amount(found["bytes_received"]),
            )
        )
    seen = [("from", "to", "values", "what")]
    seen += [(e["from"], e["to"], str(e["values"]), e["what"]) for e in result["reveals"]]
    parts = [
        "rows of each digit at each owner\n" + table(shares),
        "accuracy and loss are over all owners' held-out rows; bytes are the aggregator's\n"
        + table(trained),
        "what was sent in the training before the one with privacy, in values\n" + table(seen),
        *(f"warning: {text}" for text in result["warnings"]),
        *(f"warning, {PRIVATE_NAME}: {text}" for text in result["privacy"]["warnings"]),
        f"report: {result['report']}",
        *stage.running(result.get("nodes", {})),
    ]
    return "\n\n".join(parts)
