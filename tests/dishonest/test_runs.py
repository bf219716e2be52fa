"""An initiator that wants a step more often than was approved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.flow import control
from atoll.flow.access import Actor
from atoll.flow.control.facts import StepCommand, encode_section
from atoll.flow.planning import COIN_STEP, build
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.grants import Caps
from atoll.flow.policy.service import Policies
from atoll.jobs.definition import Job, Step
from atoll.jobs.plan import Plan, TableFacts
from tests.dishonest.initiating import (
    FAILED,
    HONEST,
    LIAR,
    LOST,
    RETRIES,
    against,
    ask_again,
    at_work,
    attempts,
    mute,
)
from tests.flow.access.support import person
from tests.flow.control.pair import JOB_ID, World, make_job
from tests.flow.policy.books import usage
from tests.flow.policy.conftest import House, house
from tests.flow.policy.plans import GUEST, HOST, facts, only_psi
from tests.flow.policy.test_caps import MATCHED, used

__all__ = ["house"]

RUNS = 3
STEP = "match"
DATA = "ATL-CMP-040"
PSI = only_psi()


def test_failing_again_and_again_after_the_reveals() -> None:
    """Lie: the network broke, eleven times, each time when all was received.

    An attempt after reveals takes an approved run; then ATL-POL-014 ends the job.
    """
    world = against(STEP, lambda attempt: FAILED, runs=RUNS)
    assert attempts(world[HONEST], STEP) == [1, 2, 3]
    assert world[HONEST].end == world[LIAR].end == ("failed", "ATL-POL-014", HONEST)
    assert control.view(world[HONEST].record).spent == RUNS - 1


def test_claiming_lost_tasks_by_turns() -> None:
    """Lie: five workers were lost and ten connections broke. ATL-POL-014, as above."""
    world = against(STEP, lambda attempt: LOST if attempt % 3 == 0 else FAILED, runs=RUNS)
    assert attempts(world[HONEST], STEP) == [1, 2, 3]
    assert world[HONEST].end == ("failed", "ATL-POL-014", HONEST)


def test_commanding_again_what_ended_well_here() -> None:
    """Lie: the initiator alone failed, though the honest task has ended well. ATL-POL-014."""
    world = against(STEP, lambda attempt: FAILED, runs=RUNS, state="success")
    assert attempts(world[HONEST], STEP) == [1, 2, 3]
    assert world[HONEST].end == ("failed", "ATL-POL-014", HONEST)


def test_one_approved_run_is_one() -> None:
    """Lie: as before, against a party that approves one run: nothing is revealed twice."""
    world = against(STEP, lambda attempt: FAILED, runs=1)
    assert attempts(world[HONEST], STEP) == [1]
    assert world[HONEST].end == ("failed", "ATL-POL-014", HONEST)


def test_withdrawing_the_offer_and_commanding_anew() -> None:
    """Lie: the offer is withdrawn after the reveals and another one begins, again and again.

    What an attempt revealed is remembered through the run, whatever becomes of offers.
    """
    world = World()
    liar, honest = world[LIAR], world[HONEST]
    at_work(honest, STEP)
    honest.runs, liar.runs = RUNS, 99
    liar.task = lambda c: None if c.step == STEP else liar.succeed(c)
    liar.submit(make_job(), retries=RETRIES)
    world.rounds(12)
    assert honest.record.running == {STEP: 1}
    mute(liar)
    for again in range(2, RETRIES + 2):
        slot = replace(liar.record.own.slot, offer=again, withdrawn=again - 1, started=again)
        commands = {**liar.record.own.commands, STEP: StepCommand(again)}
        liar.forge(slot=slot, commands=commands)
        world.rounds(4)
    assert attempts(honest, STEP) == [1, 2, 3]
    assert honest.record.own.tasks[STEP].code == "ATL-POL-014"


def test_other_options_for_another_party() -> None:
    """Lie: one party is shown that nothing is retried, the other that all is.

    The plan that all sign holds the attempts: ATL-PLN-001 names them before anything runs.
    """
    world = World(3)
    liar = world[LIAR]
    honestly = liar.message_to

    def message_to(peer: str) -> bytes:
        message = control.parse_sync(honestly(peer))
        proposal = liar.record.proposal
        other = replace(proposal, options=replace(proposal.options, retries=RETRIES))
        updates = []
        for update in message.updates:
            sections = dict(update.sections)
            if peer == "post" and "proposal" in sections:
                sections["proposal"] = encode_section(other)
            updates.append(replace(update, sections=sections))
        return control.encode_sync(replace(message, updates=tuple(updates)))

    liar.message_to = message_to  # type: ignore[method-assign]
    liar.submit(make_job(3), retries=0)
    world.rounds(12)
    assert not world["shop"].started()
    assert not world["post"].started()
    assert world["post"].end[:2] == ("failed", "ATL-PLN-001")
    explained = [c for c in world["post"].done if isinstance(c, control.Explain)]
    assert any("attempts" in entry.message for entry in explained)


def test_beginning_run_after_run() -> None:
    """Lie: the approved runs are used up by attempts of the first, and more runs begin.

    Attempts and runs are paid from one number; the next run asks anew.
    """
    world = against(STEP, lambda attempt: FAILED, runs=RUNS)
    asked: list[int] = []

    def policy(command: control.Decide) -> control.Decided:
        asked.append(command.run)
        return control.Decided("queue", world[HONEST].now, run=command.run)

    world[HONEST].policy = policy
    ask_again(world, control.RetryAsked, STEP, lambda attempt: FAILED)
    assert attempts(world[HONEST], STEP) == [1, 2, 3]
    assert asked == [2]
    assert control.view(world[HONEST].record).state == "awaiting approval"


def test_a_run_beyond_those_approved_is_decided_on_again(house: House) -> None:
    """Lie: runs are begun until a policy has signed again. The ledger adds all up: ATL-POL-014.

    The next approval is a decision of its own, within what the caps leave: ATL-POL-005.
    """
    house.grant()
    policies = house.policies
    assert policies.consider("job-1", PSI, GUEST, runs=RUNS).kind == "approve"
    for attempt in range(RUNS):
        policies.begin("job-1", PSI, "match", attempt, GUEST, spends=attempt > 0)
        policies.ledger.charge("job-1", PSI, "match", attempt, MATCHED)
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "match", 0, GUEST, spends=True)
    policies.ledger.settle("job-1")
    assert policies.consider("job-1", PSI, GUEST, runs=RUNS).kind == "approve"
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "match", 0, GUEST, turn=2)
    assert used(policies) == Counts(runs=RUNS, psi_runs=RUNS)
    policies.grants.cap(house.admin, "baskets", GUEST, Caps(runs=RUNS + 1))
    assert policies.consider("job-1", PSI, GUEST, run=2, runs=RUNS).kind == "approve"
    policies.begin("job-1", PSI, COIN_STEP, 0, GUEST, turn=2)
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", PSI, COIN_STEP, 0, GUEST, turn=2, spends=True)
    assert used(policies).runs == RUNS + 1
    assert policies.consider("job-1", PSI, GUEST, run=5, runs=RUNS).code == "ATL-POL-005"
    # Its owner gives it more: the next run is decided on again.
    policies.grants.cap(house.admin, "baskets", GUEST, Caps(runs=RUNS + 2))
    assert policies.consider("job-1", PSI, GUEST, run=6, runs=RUNS).kind == "approve"


def test_a_person_is_asked_again_for_runs_beyond_those_approved(house: House) -> None:
    """Lie: what a person approved once is begun again and again. Each approval is asked for."""
    policies = house.policies
    approver = approved_by_person(house, "job-1", RUNS)
    for run in range(1, RUNS + 1):
        policies.begin("job-1", PSI, "match", run, GUEST, turn=run)
        policies.ledger.charge("job-1", PSI, "match", run, MATCHED)
        policies.ledger.settle("job-1")
    assert policies.consider("job-1", PSI, GUEST, run=RUNS, runs=RUNS).kind == "queue"
    assert policies.consider("job-1", PSI, GUEST, run=RUNS + 1, runs=RUNS).kind == "queue"
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "match", 0, GUEST, turn=RUNS + 1)
    policies.approve(approver, "job-1", PSI, PSI.digest(), GUEST, run=RUNS + 1, runs=RUNS)
    assert policies.consider("job-1", PSI, GUEST, run=RUNS + 1, runs=RUNS).kind == "approve"
    for run in range(RUNS + 1, 2 * RUNS + 1):
        policies.begin("job-1", PSI, "match", 0, GUEST, turn=run)
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "match", 0, GUEST, turn=2 * RUNS + 1)
    assert used(policies).runs == 2 * RUNS


def test_what_a_person_refused_stays_refused_in_later_runs(house: House) -> None:
    """Lie: a refused job is begun again, so that someone may click. ATL-POL-016."""
    policies = house.policies
    approver = person(house.access, house.admin, "pia", ["approver"])
    assert policies.consider("job-1", PSI, GUEST).kind == "queue"
    policies.refuse(approver, "job-1", PSI.digest(), "no")
    again = policies.consider("job-1", PSI, GUEST, run=2)
    assert (again.kind, again.code) == ("refuse", "ATL-POL-016")


def test_runs_that_reveal_nothing_but_how_they_end_count(house: House) -> None:
    """Lie: a step is run again and again, and ends before anything is sent: an answer each time.

    A run counts from its start, over a restart too: ATL-POL-014, and caps of ``runs``.
    """
    house.grant()
    assert house.policies.consider("job-1", PSI, GUEST, runs=RUNS).kind == "approve"
    for run in range(1, RUNS + 1):
        house.policies.begin("job-1", PSI, "match", run, GUEST, turn=run)
        house.policies.ledger.charge("job-1", PSI, "match", run, [])
        house.policies.ledger.settle("job-1")
    with pytest.raises(AtollError, match="ATL-POL-014"):
        house.again().begin("job-1", PSI, "match", 0, GUEST, turn=RUNS + 1)
    assert used(house.again()) == Counts(runs=RUNS)


def test_a_failure_that_may_depend_on_data_is_the_last_answer_of_a_run() -> None:
    """Lie: the honest party's own error is the answer, and the step is commanded once more.

    No attempt begins after it; without a verdict the honest party ends the run by itself.
    """
    world = World()
    liar, honest = world[LIAR], world[HONEST]
    at_work(honest, STEP)
    honest.runs, liar.runs = RUNS, 99
    liar.task = lambda c: None if c.step == STEP else liar.succeed(c)
    liar.submit(make_job(), retries=RETRIES)
    world.rounds(12)
    mute(liar)
    for attempt in range(1, RETRIES):
        event = control.TaskReported(STEP, attempt, "failed", honest.now, DATA, revealed=False)
        honest.happen(JOB_ID, event)
        liar.forge(commands={**liar.record.own.commands, STEP: StepCommand(attempt + 1)})
        world.rounds(4)
    assert attempts(honest, STEP) == [1]
    world.rounds(8, honest.record.options.peer_seconds / 3)
    assert honest.end == ("failed", DATA, HONEST)


def test_stopping_a_job_before_its_end_is_charged(house: House) -> None:
    """Lie: the job is stopped when all has been received. The run counts, and what was sent."""
    house.grant(limits={"runs": 1, "psi_runs": 1})
    policies = house.policies
    assert policies.consider("job-1", PSI, GUEST).kind == "approve"
    policies.begin("job-1", PSI, "match", 1, GUEST, turn=1)
    policies.ledger.settle("job-1")
    policies.ledger.charge("job-1", PSI, "match", 1, MATCHED)
    assert used(policies) == Counts(runs=1, psi_runs=1)
    assert policies.consider("job-2", PSI, GUEST).code == "ATL-POL-005"


def test_the_id_of_a_deleted_job_is_not_used_again(house: House) -> None:
    """Lie: a job whose row was deleted is proposed once more by its old id. ATL-POL-018."""
    house.grant()
    policies = house.policies
    policies.check_new("job-1")
    assert policies.consider("job-1", PSI, GUEST, runs=RUNS).kind == "approve"
    policies.begin("job-1", PSI, "match", 1, GUEST)
    policies.ledger.charge("job-1", PSI, "match", 1, MATCHED)
    policies.ledger.settle("job-1")
    with pytest.raises(AtollError, match="ATL-POL-018"):
        house.again().check_new("job-1")
    # Also where a person was asked alone, and nothing stands in the ledger.
    policies.consider("job-2", PSI, "telco")
    with pytest.raises(AtollError, match="ATL-POL-018"):
        policies.check_new("job-2")


def test_one_content_under_several_names_has_one_cap(house: House) -> None:
    """Lie: a job reads three tables of one content, and each has the cap's room. ATL-POL-005."""
    plan = under_names("baskets", "copies", "more")
    for name in ("baskets", "copies", "more"):
        house.policies.grants.cap(house.admin, name, GUEST, Caps(psi_runs=2))
    refused = house.policies.consider("job-1", plan, HOST)
    assert (refused.kind, refused.code) == ("refuse", "ATL-POL-005")
    two = under_names("baskets", "copies")
    assert house.policies.consider("job-2", two, HOST, runs=2).kind == "approve"
    for name in ("match-0", "match-1"):
        house.policies.begin("job-2", two, name, 1, GUEST, turn=1)
        house.policies.ledger.charge("job-2", two, name, 1, MATCHED)
    with pytest.raises(AtollError, match="ATL-POL-005"):
        house.policies.begin("job-2", two, "match-0", 0, GUEST, turn=2)


def under_names(*names: str) -> Plan:
    """Return the plan of one intersection for each of some tables of the host's, all alike."""
    steps = {}
    for at, name in enumerate(names):
        tables: dict[str, JsonValue] = {GUEST: "loans", HOST: name}
        steps[f"read-{at}"] = Step(component="reader", parameters={"tables": tables})
        steps[f"match-{at}"] = Step(component="psi", inputs={"table": f"read-{at}.table"})
    job = Job(name="copies", parties={GUEST: (Role.GUEST,), HOST: (Role.HOST,)}, steps=steps)
    content = facts(names[0])
    declared = {
        GUEST: {f"read-{at}": facts("loans") for at in range(len(names))},
        HOST: {f"read-{at}": replace_name(content, name) for at, name in enumerate(names)},
    }
    return build(job, CATALOGUE, declared, {GUEST: "k", HOST: "k"})


def replace_name(content: TableFacts, name: str) -> TableFacts:
    return content.model_copy(update={"name": name})


def test_runs_that_begin_before_the_last_one_has_ended_count_too(house: House) -> None:
    """Lie: the next run is begun by hand while the last one goes on, so that no end settles it.

    The ledger counts runs by their numbers: ATL-POL-014.
    """
    house.grant()
    policies = house.policies
    policies.consider("job-1", PSI, GUEST, runs=RUNS)
    for run in range(1, RUNS + 1):
        policies.begin("job-1", PSI, "match", run, GUEST, turn=run)
        policies.ledger.charge("job-1", PSI, "match", run, MATCHED)
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "match", 0, GUEST, turn=RUNS + 1)
    assert used(policies) == Counts(runs=RUNS, psi_runs=RUNS)


def approved_by_person(house: House, job: str, runs: int = 9) -> Actor:
    """Let a person approve the job of a partner that no grant names."""
    name = f"pia-{job}"
    approver = person(house.access, house.admin, name, ["approver"])
    assert house.policies.consider(job, PSI, GUEST, runs=runs).kind == "queue"
    house.policies.approve(approver, job, PSI, PSI.digest(), GUEST, runs=runs)
    return approver


def test_attempts_of_what_a_person_approved_stop_at_the_tables_cap(house: House) -> None:
    """Lie: nine runs were approved by hand, and each is wanted. Two are capped: ATL-POL-005."""
    policies = house.policies
    policies.grants.cap(house.admin, "baskets", "*", Caps(psi_runs=2))
    approved_by_person(house, "job-1")
    for attempt in (0, 1):
        policies.begin("job-1", PSI, "match", attempt, GUEST, spends=attempt > 0)
        policies.ledger.charge("job-1", PSI, "match", attempt, MATCHED)
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", PSI, "match", 0, GUEST, spends=True)
    policies.ledger.settle("job-1")
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", PSI, "match", 0, GUEST)
    assert used(policies).psi_runs == 2


def test_job_after_job_approved_by_hand_stops_at_the_tables_cap(house: House) -> None:
    """Lie: each job is harmless by itself. What they reserve adds up: ATL-POL-005."""
    house.policies.grants.cap(house.admin, "baskets", GUEST, Caps(psi_runs=1))
    approved_by_person(house, "job-1")
    refused = house.policies.consider("job-2", PSI, GUEST)
    assert (refused.kind, refused.code) == ("refuse", "ATL-POL-005")


def test_an_own_job_stops_at_the_tables_cap(house: House) -> None:
    """Lie: the partner has the party itself submit what it would not be granted. ATL-POL-005."""
    house.policies.grants.cap(house.admin, "baskets", "*", Caps(psi_runs=1))
    assert house.policies.consider("job-1", PSI, HOST).kind == "approve"
    refused = house.policies.consider("job-2", PSI, HOST)
    assert (refused.kind, refused.code) == ("refuse", "ATL-POL-005")


def test_a_cap_binds_beside_a_grant_and_over_a_restart(house: House, tmp_path: Path) -> None:
    """Lie: a generous grant is used in full. The table's cap binds as well: ATL-POL-005."""
    house.grant(limits={"psi_runs": 100})
    house.policies.grants.cap(house.admin, "baskets", GUEST, Caps(psi_runs=1))
    assert house.policies.consider("job-1", PSI, GUEST).kind == "approve"
    after: Policies = house.again()
    assert after.consider("job-2", PSI, GUEST).code == "ATL-POL-005"
    assert usage(after.ledger, "baskets", GUEST).psi_runs == 1
    lines = house.access.audit.page(limit=9, newest_first=True).rows
    assert ("data.limit", "done") in [(line["action"], line["outcome"]) for line in lines]
    after.grants.cap(house.admin, "baskets", GUEST, Caps())
    assert list(after.grants.caps(house.admin, "baskets")) == []
    assert after.consider("job-3", PSI, GUEST).kind == "approve"
