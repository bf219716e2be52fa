"""A partner whose ended jobs begin again, beyond what it may have unfinished here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from atoll.flow.control import (
    Command,
    JobRecord,
    QueueLimits,
    RetryAsked,
    StopAsked,
    check_open,
    encode_sync,
    parse_sync,
)
from atoll.flow.node.jobs.control import Control
from atoll.flow.store import Database
from tests.flow.control import pair
from tests.flow.node.test_control import Nothing

LIMITS = QueueLimits(open_per_partner=2)
NAMES = [f"20261122100000-0000000{at}" for at in range(5)]


class Counting(Nothing):
    """Effects of a node that counts a partner's jobs, and carries nothing out."""

    def carry_out(self, record: JobRecord, command: Command) -> None:
        pass

    def saved(
        self, connection: Connection, record: JobRecord, commands: tuple[Command, ...]
    ) -> None:
        pass

    def check_open(self, partner: str, job: str, unfinished: int) -> None:
        check_open(LIMITS, partner, unfinished)

    def check_again(self, partner: str, unfinished: int) -> None:
        check_open(LIMITS, partner, unfinished)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Control]:
    with Database.open(f"sqlite:///{tmp_path}/atoll.db", retry_seconds=0.1) as database:
        made = Control(database, pair.Node("shop").rules, Counting())
        made.start({})
        yield made
        made.close()


def sync(bank: pair.Node, host: Control) -> int:
    """Exchange what there is; return how many jobs of the bank's are unfinished at the host."""
    host.take("bank", parse_sync(bank.message_to("shop")))
    answer = host.ask(lambda c, batch: encode_sync(c.exchange("bank").message(c.records)))
    bank.receive("shop", answer)
    return sum(record.end is None for record in host.records.values())


def test_ended_jobs_that_begin_again(host: Control) -> None:
    """Lie: jobs are proposed and cancelled one by one, then all begin their next run: ATL-FLW-016.

    One that ends makes room for another.
    """
    bank = pair.Node("bank")
    for name in NAMES:
        bank.submit(pair.make_job(), name)
        assert sync(bank, host) == 1
        bank.happen(name, StopAsked("cancel", "ann", bank.now))
        assert sync(bank, host) == 0
    for name in NAMES:
        bank.happen(name, RetryAsked(bank.now))
    assert sync(bank, host) == LIMITS.open_per_partner
    assert sync(bank, host) == LIMITS.open_per_partner
    bank.happen(NAMES[0], StopAsked("cancel", "ann", bank.now))
    assert sync(bank, host) <= LIMITS.open_per_partner
    bank.happen(NAMES[1], StopAsked("cancel", "ann", bank.now))
    sync(bank, host)
    assert sync(bank, host) == LIMITS.open_per_partner
