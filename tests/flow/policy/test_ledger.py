from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, delete, update

from atoll.core.errors import AtollError, InternalError
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.ledger import DatabaseLedger
from atoll.flow.store import schema
from atoll.jobs import approval as approvals
from atoll.jobs.approval import Approval
from tests.flow.policy.books import append, usage
from tests.flow.policy.conftest import House
from tests.flow.policy.plans import GUEST, HOST, only_psi, plan_of

PLAN = plan_of()
_T = schema.ledger


def approval(nonce: int = 1) -> Approval:
    return approvals.make(PLAN, GUEST, nonce=bytes([nonce] * 32), expires=9, runs=1)


def test_it_holds_what_it_was_told(house: House) -> None:
    entries: list[tuple[str, Mapping[str, Any]]] = [
        ("start", {"step": "psi"}),
        ("reveal", {"elements": 3, "what": "größer"}),
    ]
    table = house.policies.ledger
    for entry in entries:
        append(table, entry)
    kept = {"number", "previous", "hash", "time"}
    shown = [{k: v for k, v in line.items() if k not in kept} for line in table.entries()]
    assert shown == [{"kind": kind, **fields} for kind, fields in entries]
    assert [line["number"] for line in table.entries()] == [1, 2]
    assert table.verify() is None


def test_pages_walk_the_whole_ledger(house: House) -> None:
    ledger = house.policies.ledger
    append(ledger, *[("start", {"step": str(number)}) for number in range(450)])
    assert [line["step"] for line in ledger.entries()] == [str(number) for number in range(450)]
    newest = ledger.page(limit=2, newest_first=True)
    assert [line["number"] for line in newest] == [450, 449]
    assert [line["number"] for line in ledger.page(newest.next, 2, newest_first=True)] == [448, 447]


@pytest.mark.parametrize("column", ["time", "kind", "body", "previous", "hash"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_changed_line_is_found(house: House, column: str, number: int) -> None:
    ledger = house.policies.ledger
    append(ledger, *[("reveal", {"elements": number}) for number in range(3)])
    fake = {"time": 1.0, "body": '{"elements": 0.5}'}.get(column, "1" * 32)
    change = update(_T).where(_T.c.number == number).values(**{column: fake})
    house.database.write(lambda c: c.execute(change))
    assert ledger.verify() == number


def test_after_a_cut_end_nothing_is_approved(house: House) -> None:
    house.grant()
    ledger = house.policies.ledger
    house.policies.consider("job-1", PLAN, GUEST)
    before = usage(ledger, "baskets", GUEST)
    house.database.write(lambda c: c.execute(delete(_T).where(_T.c.number > 1)))
    assert before != Counts()
    assert ledger.verify() == 2
    with pytest.raises(AtollError, match="ATL-POL-015"):
        house.policies.consider("job-2", PLAN, GUEST)
    with pytest.raises(AtollError, match="ATL-POL-015"):
        append(ledger, ("start", {}))


def test_the_accounts_forget_what_was_undone(house: House) -> None:
    ledger = house.policies.ledger

    def work(connection: Connection) -> None:
        ledger.reserve(connection, "job-1", PLAN, GUEST)
        assert ledger.usages_in(connection, PLAN, GUEST)["baskets", GUEST].psi_runs == 1
        raise InternalError("ATL-INT-001", "undone")

    with pytest.raises(InternalError):
        house.database.write(work)
    assert ledger.open_jobs() == []
    append(ledger, ("start", {"step": "psi"}))
    look: list[Counts] = []
    house.database.write(lambda c: look.append(ledger.usages_in(c, PLAN, GUEST)["baskets", GUEST]))
    assert look == [Counts()]


def test_readers_and_the_writer_agree_while_jobs_run(house: House) -> None:
    house.grant()
    policies, stop = house.policies, threading.Event()
    seen: list[list[str]] = []

    def watch() -> None:
        while not stop.is_set():
            seen.append(policies.ledger.open_jobs())

    def live(number: int) -> None:
        job = f"job-{number}"
        policies.consider(job, PLAN, GUEST)
        policies.begin(job, PLAN, "match", 0, GUEST)
        policies.ledger.charge(job, PLAN, "match", 0, None if number % 2 else [])
        policies.ledger.settle(job)

    with ThreadPoolExecutor(5) as pool:
        watcher = pool.submit(watch)
        for done in [pool.submit(live, number) for number in range(12)]:
            done.result()
        stop.set()
        watcher.result()
    assert {job for jobs in seen for job in jobs} <= {f"job-{n}" for n in range(12)}
    assert policies.ledger.open_jobs() == []
    assert usage(policies.ledger, "baskets", GUEST) == Counts(runs=12, psi_runs=6)
    assert usage(DatabaseLedger(house.database, HOST), "baskets", GUEST).psi_runs == 6
    assert policies.ledger.verify() is None


def test_an_approval_serves_one_job(house: House) -> None:
    ledger = house.policies.ledger
    ledger.accept("job-1", [approval(1), approval(2)])
    ledger.accept("job-1", [approval(1), approval(2)])
    assert len(list(ledger.entries())) == 2
    with pytest.raises(AtollError, match="ATL-PLN-004"):
        ledger.accept("job-2", [approval(3), approval(1)])
    ledger.accept("job-2", [approval(3)])
    lines = [line for line in ledger.entries() if line["kind"] == "approval"]
    assert [line["run"] for line in lines] == ["job-1", "job-1", "job-2"]
    assert lines[0]["nonce"] == "01" * 32


def test_reserved_and_charged_lines_say_whose_they_are(house: House) -> None:
    house.grant()
    house.policies.consider("job-1", only_psi(), GUEST)
    lines = list(house.policies.ledger.entries())
    assert [(line["kind"], line["step"]) for line in lines] == [
        ("reserve", ""),
        ("reserve", "match"),
    ]
    assert {(line["run"], line["table"], line["partner"]) for line in lines} == {
        ("job-1", "baskets", GUEST)
    }
    assert lines[1]["counts"] == {"psi_runs": 1}
    assert lines[1]["plan"] == only_psi().digest()
