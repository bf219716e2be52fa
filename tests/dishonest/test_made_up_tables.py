"""Partners that have a node work over made-up tables, which needs no approval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.flow import control, planning
from atoll.flow.node.jobs.deciding import Decider
from atoll.flow.policy.decision import PolicySettings
from atoll.flow.policy.made_up import MadeUpLimits, most_seconds, uses_only_synthetic_data
from atoll.flow.policy.service import Policies
from atoll.flow.store import JobRow, Jobs
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan
from tests.flow.access.support import Wall, boss, open_access, open_database
from tests.held import HeldTables


def job_of(steps: Any) -> Job:
    return parse_job({"name": "any", "parties": {"bank": "guest", "shop": "host"}, "steps": steps})


def made_up(rows: int = 200, columns: int = 3, trees: int = 2, steps: int = 1) -> Plan:
    parameters = {"rows": rows, "columns": columns}
    graph: dict[str, Any] = {
        "toys": {"component": "synthetic", "parameters": parameters},
        "match": {"component": "psi", "inputs": {"table": "toys.table"}},
    }
    for at in range(steps):
        graph[f"train-{at}"] = {
            "component": "boosting",
            "inputs": {"train": "match.table"},
            "parameters": {"trees": trees},
        }
    return plan_of(job_of(graph))


def plan_of(job: Job) -> Plan:
    declared = {
        party: {
            s: d.facts for s, d in planning.declare(job, CATALOGUE, party, whole_none()).items()
        }
        for party in job.parties
    }
    return planning.build(job, CATALOGUE, declared, dict.fromkeys(job.parties, "k"))


def whole_none() -> Any:
    return HeldTables({})


class Host:
    """The shop's node as far as decisions go."""

    def __init__(self, database: Any, settings: PolicySettings | None = None) -> None:
        self.wall = Wall()
        self.database = database
        self.jobs = Jobs(database)
        access = open_access(database, self.wall)
        boss(access)
        self.policies = Policies(database, "shop", access, settings, wall=self.wall)

    def asked(
        self, number: int, plan: Plan, attempts: int = 6, run: int = 1
    ) -> tuple[str, str | None]:
        """Return what becomes of a job of the bank's."""
        name = f"20300102030405-{number:08x}"
        row = JobRow(
            id=name,
            name="toys",
            initiator="bank",
            role="host",
            state="awaiting approval",
            created=self.wall.now,
            updated=self.wall.now,
            job=plan.job.canonical(),
        )
        if self.jobs.find(name) is None:
            self.database.write(lambda c: self.jobs.create(row, ["bank", "shop"], connection=c))
        limits = MadeUpLimits()
        made = self.policies.consider_made_up(name, plan, "bank", limits, attempts, run=run)
        return made.kind, made.code

    def ended(self, number: int) -> None:
        self.jobs.update(f"20300102030405-{number:08x}", {"state": "success"})


def decider_of(limits: MadeUpLimits | None, runs: int = 1) -> Decider:
    return Decider(cast(Any, None), cast(Any, None), lambda: 0.0, synthetic=limits, runs=runs)


def record_of(plan: Plan | None) -> Any:
    return SimpleNamespace(plan=plan, party="shop", initiator="bank", drives=False)


def test_which_jobs_hold_the_workers_of_those_that_need_no_approval() -> None:
    """Small ones over made-up tables; what a person must approve has a partner's whole share."""
    decider = decider_of(MadeUpLimits())
    assert decider.needs_no_approval(record_of(made_up()))
    assert not decider_of(MadeUpLimits(seconds=0.1)).needs_no_approval(record_of(made_up()))
    assert not decider_of(MadeUpLimits(), 1000).needs_no_approval(record_of(made_up()))
    assert not decider_of(None).needs_no_approval(record_of(made_up()))
    assert not decider.needs_no_approval(record_of(None))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with open_database(tmp_path) as database:
        yield Host(database)


@pytest.mark.parametrize(
    "much",
    [
        {"rows": 100_000, "columns": 100},
        {"rows": 20_000, "trees": 300},
        {"rows": 2_000, "trees": 50, "steps": 40},
    ],
)
def test_a_job_over_made_up_tables_is_only_unasked_if_it_is_small(
    host: Host, much: dict[str, int]
) -> None:
    """The lie: "it is only toys": as much work as one likes, with nobody's approval.

    Beyond the estimate that the settings state a person is asked, or it is refused: ATL-POL-017.
    """
    plan = made_up(**much)
    assert uses_only_synthetic_data(plan, "shop")
    assert most_seconds(plan, 6) > MadeUpLimits().seconds
    assert host.asked(1, plan) == ("queue", "ATL-POL-017")
    strict = replace(host.policies.settings, default="deny")
    host.policies.settings = strict
    assert host.asked(2, plan) == ("refuse", "ATL-POL-017")
    assert host.asked(3, made_up()) == ("approve", None)


def test_a_union_of_many_is_as_much_work_as_its_inputs(host: Host) -> None:
    """The lie: one small table is united with itself, 64 times and once more: ATL-POL-017."""
    graph: dict[str, Any] = {
        "toys": {"component": "synthetic", "parameters": {"rows": 20_000, "columns": 20}}
    }
    source = "toys.table"
    for step in ("once", "twice"):
        inputs = {f"tables.{at}": source for at in range(64)}
        parameters = {"duplicates": "keep-first"}
        graph[step] = {"component": "union", "inputs": inputs, "parameters": parameters}
        source = f"{step}.table"
    plan = plan_of(job_of(graph))
    assert uses_only_synthetic_data(plan, "shop")
    assert host.asked(1, plan) == ("queue", "ATL-POL-017")


def test_many_small_jobs_over_made_up_tables_are_counted(host: Host) -> None:
    """The lie: the work is cut into many small jobs, all at once or all day."""
    plan, limits = made_up(), MadeUpLimits()
    first = [host.asked(at, plan) for at in range(limits.at_once + 1)]
    assert first == [("approve", None)] * limits.at_once + [("queue", "ATL-POL-017")]
    for at in range(limits.at_once + 1):
        host.ended(at)
    approved = limits.at_once
    for at in range(10, 60):
        if host.asked(at, plan)[0] == "approve":
            approved += 1
        host.ended(at)
    assert approved == limits.per_day
    # Asked again about what was approved, the answer stands; the next day there is room.
    assert host.asked(0, plan) == ("approve", None)
    host.wall.now += 86401
    assert host.asked(99, plan) == ("approve", None)
    # So a partner has this much of a day at most, in seconds by estimate.
    assert limits.per_day * limits.seconds <= 1200


def test_a_job_over_made_up_tables_is_approved_unasked_once(host: Host) -> None:
    """The lie: one small job is run again and again. A person is asked, or it is refused."""
    plan = made_up()
    assert host.asked(1, plan, run=1) == ("approve", None)
    assert host.asked(1, plan, run=1) == ("approve", None)
    assert host.asked(1, plan, run=4) == ("queue", "ATL-POL-017")
    host.policies.settings = replace(host.policies.settings, default="deny")
    assert host.asked(1, plan, run=4) == ("refuse", "ATL-POL-017")


def test_later_decisions_on_such_jobs_do_not_make_room_for_more(host: Host) -> None:
    """The lie: ended jobs ask about runs beyond those approved, and so are counted no more."""
    plan, limits = made_up(), MadeUpLimits()
    for at in range(limits.per_day):
        assert host.asked(at, plan) == ("approve", None)
        host.ended(at)
        assert host.asked(at, plan, run=4) == ("queue", "ATL-POL-017")
    assert host.asked(99, plan) == ("queue", "ATL-POL-017")
    host.wall.now += 86401
    assert host.asked(100, plan) == ("approve", None)


def test_jobs_that_did_not_end_count_whatever_was_asked_about_them_since(host: Host) -> None:
    """The lie: each job asks for a further run while it goes on, and the next one begins."""
    plan, limits = made_up(), MadeUpLimits()
    for at in range(limits.at_once):
        assert host.asked(at, plan) == ("approve", None)
        assert host.asked(at, plan, run=4) == ("queue", "ATL-POL-017")
    assert host.asked(99, plan) == ("queue", "ATL-POL-017")


def test_made_up_rows_are_not_scored_with_a_model_of_ours() -> None:
    """The lie: rows are made up so that a registered model scores them unasked, row by row."""
    graph = {
        "toys": {"component": "synthetic"},
        "match": {"component": "psi", "inputs": {"table": "toys.table"}},
        "model": {
            "component": "model",
            "inputs": {"table": "match.table"},
            "parameters": {"model": "credit", "kind": "boosting.model"},
        },
        "score": {
            "component": "prediction",
            "inputs": {"model": "model.model", "table": "model.table"},
        },
    }
    assert not uses_only_synthetic_data(plan_of(job_of(graph)), "shop")
    fitted = {
        **graph,
        "old": {
            "component": "fitted",
            "parameters": {"model": "credit", "step": "scale", "kind": "scale.transform"},
        },
    }
    del fitted["model"], fitted["score"]
    assert not uses_only_synthetic_data(plan_of(job_of(fitted)), "shop")


def test_a_node_asks_a_person_about_much_work_over_made_up_tables(host: Host) -> None:
    """The lie as a node meets it: the attempts that the plan signs count, in every run."""
    decider = Decider(host.policies, lambda: cast(Any, None), host.wall, runs=3)
    # Much for one attempt: how much that is depends on this machine's rate.
    sizes = (made_up(rows=20_000, trees=trees) for trees in (5, 10, 20, 40, 80, 160, 320))
    some = next(plan for plan in sizes if most_seconds(plan, 1) > MadeUpLimits().seconds / 10)
    assert most_seconds(some, 1) < MadeUpLimits().seconds
    much = some.limited({"train-0": 21}, {})
    record = SimpleNamespace(id="20300102030405-0000000f", party="shop", initiator="bank")
    record.drives, record.opening, record.ask_person = False, None, False
    command = SimpleNamespace(plan=much, nonce=bytes(32), run=1)
    made = decider.decide(cast(Any, record), cast(Any, command))(control.Moment(0.0, 0.0))
    assert cast(control.Decided, made).kind == "queue"
