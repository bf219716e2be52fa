"""Whole jobs with an intersection in which one party lies: what the ledger says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from atoll.components.api import Result, Task
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import PeerError
from atoll.flow import planning
from atoll.flow.policy.counts import Counts
from atoll.jobs.definition import Job, parse_job
from atoll.operators import psi
from atoll.operators.psi.ecdh.messages import Bitmap, Tags
from atoll.table import Table
from tests import whole
from tests.dishonest.ledger import charge, refused_below
from tests.dishonest.lying import Run, lying, speaking
from tests.held import HeldTables
from tests.whole import Whole

ROWS = 60


def ids(first: int, rows: int) -> pa.Array:
    return pa.array([f"id {n:04}" for n in range(first, first + rows)])


def job(*more: str) -> Job:
    hosts = ("shop", *more)
    tables = dict.fromkeys(("bank", *hosts), "rows")
    return parse_job(
        {
            "name": "who",
            "parties": {"bank": "guest", **dict.fromkeys(hosts, "host")},
            "steps": {
                "reader": {
                    "component": "reader",
                    "parameters": {"tables": tables, "label": ""},
                },
                "psi": {"component": "psi", "inputs": {"table": "reader.table"}},
            },
        }
    )


FIRST = {"bank": 0, "shop": 30}


def held(first: int) -> HeldTables:
    x = pa.array([float(n) for n in range(ROWS)])
    return HeldTables({"rows": Table.from_columns(ids(first, ROWS), {"x": x})})


def play(liar: str, lie: Run) -> Whole:
    tables = {party: held(first) for party, first in FIRST.items()}
    return whole.play(job(), tables, CATALOGUE, liars={liar: lying({"psi": lie})})


def others(found: Whole, honest: str, liar: str) -> Counts:
    assert found.plan is not None
    return charge(found.plan, honest, liar, found.sent[honest])


def code(found: Whole, party: str) -> str:
    return str(getattr(found.errors.get(party), "code", ""))


@pytest.mark.parametrize(("honest", "liar"), [("bank", "shop"), ("shop", "bank")])
def test_more_guesses_than_the_plan_says_are_refused(honest: str, liar: str) -> None:
    """The liar's plan states 60 rows, but it intersects 5000 guesses.

    It was told of each guess whether the other holds it. Rule: the peer's set is held against the
    rows of its table in the plan, ATL-PSI-006; no tag leaves.
    """

    def guessing(task: Task, parameters: Any) -> Result:
        guesses = ids(0, 5000).cast(pa.binary())
        psi.run(task.party, guesses, parameters)
        return Result()

    found = play(liar, guessing)
    assert code(found, honest) == "ATL-PSI-006"
    assert not any(line["message"] in (Tags.kind, Bitmap.kind) for line in found.sent[honest])


def test_a_table_that_is_declared_without_rows_makes_no_plan() -> None:
    """The liar declares no row, which reads as not known and bounds no guesses. ATL-PLN-005."""
    made = whole.Planned(job(), {p: held(n) for p, n in FIRST.items()}, CATALOGUE).plan
    assert made is not None
    facts = {party: dict(tables) for party, tables in made.tables.items()}
    (step,) = facts["shop"]
    facts["shop"][step] = facts["shop"][step].model_copy(update={"rows": 0})
    with pytest.raises(PeerError, match="ATL-PLN-005"):
        planning.build(job(), CATALOGUE, facts, made.certificates)


@pytest.mark.parametrize(("honest", "liar"), [("bank", "shop"), ("shop", "bank")])
def test_guesses_within_the_plan_cost_a_run(honest: str, liar: str) -> None:
    """The liar's 60 rows are made up, as the plan warns that they may be.

    The gain: which of as many guesses as its table has rows the other holds. The ledger charges the
    run, and a cap of fewer runs refuses the plan (ATL-POL-005).
    """

    def guessing(task: Task, parameters: Any) -> Result:
        guesses = ids(0, ROWS).cast(pa.binary())
        found = psi.run(task.party, guesses, parameters)
        assert found.count == (ROWS if honest == "bank" else 30)
        return Result({"table": task.inputs["table"].take(found.indices).with_alignment(None)})

    found = play(liar, guessing)
    counts = others(found, honest, liar)
    assert counts.psi_runs == 1
    assert found.plan is not None
    refused_below(found.plan, honest, liar, "psi_runs", 1)


def test_what_a_host_learns_of_another_by_way_of_the_guest_costs_a_run() -> None:
    """The liar is a second host whose rows are made up; the guest is honest and passes it on.

    The gain: which of its guesses all others hold. The first host, which sent it nothing, charges
    it a run all the same.
    """

    def guessing(task: Task, parameters: Any) -> Result:
        found = psi.run(task.party, ids(10, ROWS).cast(pa.binary()), parameters)
        assert found.count == 30
        return Result({"table": task.inputs["table"].take(found.indices).with_alignment(None)})

    tables = {"bank": held(0), "shop": held(30), "tele": held(100)}
    liars = {"tele": lying({"psi": guessing})}
    found = whole.play(job("tele"), tables, CATALOGUE, liars=liars)
    sent = [line for line in found.sent["shop"] if line["step"] == "psi"]
    assert {line["receiver"] for line in sent} == {"bank"}
    assert others(found, "shop", "tele").psi_runs == 1
    assert others(found, "shop", "bank").psi_runs == 1


@pytest.mark.parametrize(("honest", "liar"), [("bank", "shop"), ("shop", "bank")])
def test_a_count_that_is_taken_and_left_costs_a_run(honest: str, liar: str) -> None:
    """The liar leaves after the tags, with the count, as often as it may. Each costs a run."""

    def leaving(task: Task, parameters: Any) -> Result:
        def lie(tag: str, message: Any) -> list[Any]:
            if tag == "psi/verdict":
                raise RuntimeError("enough")
            return [message]

        ids_of = task.inputs["table"].ids()
        return Result({"table": psi.run(speaking(task.party, lie), ids_of, parameters)})

    found = play(liar, leaving)
    assert code(found, honest)
    assert others(found, honest, liar).psi_runs == 1


def test_tags_that_come_back_end_a_job_in_which_nothing_else_left() -> None:
    """The liar answers with the tags that it is sent. Rule: ATL-PSI-012, and the run is charged."""

    def echoing(task: Task, parameters: Any) -> Result:
        kept: list[Tags] = []
        channel = task.party.channel
        receive = channel.receive

        def lie(tag: str, message: Any) -> list[Any]:
            if isinstance(message, Tags):
                kept.append(receive("bank", tag, Tags))
                return [replace(message, tags=kept[0].tags[::-1].copy())]
            return [message]

        psi.run(speaking(task.party, lie), task.inputs["table"].ids(), parameters)
        return Result()

    found = play("shop", echoing)
    assert code(found, "bank") == "ATL-PSI-012"
    assert others(found, "bank", "shop").psi_runs == 1
    assert not any(line["message"] == Bitmap.kind for line in found.sent["bank"])
