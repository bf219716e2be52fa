"""An initiator that wants a step more often than was approved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.flow import control
from atoll.flow.control.facts import StepCommand, encode_section
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.grants import Caps
from atoll.flow.policy.service import Policies
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
from tests.flow.control.pair import World, make_job
from tests.flow.policy.books import usage
from tests.flow.policy.conftest import House, house
from tests.flow.policy.plans import GUEST, HOST, only_psi
from tests.flow.policy.test_caps import MATCHED, used

__all__ = ["house"]

RUNS = 3
STEP = "match"
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


def test_runs_that_a_policy_approves_anew_count_in_the_ledger(house: House) -> None:
    """Lie: runs are begun until a policy has signed again. The ledger adds all up: ATL-POL-014."""
    house.grant()
    policies = house.policies
    assert policies.consider("job-1", PSI, GUEST, runs=RUNS).kind == "approve"
    for attempt in range(RUNS):
        policies.begin("job-1", PSI, "match", spends=attempt > 0)
        policies.ledger.charge("job-1", PSI, "match", attempt, MATCHED)
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "match", spends=True)
    policies.ledger.settle("job-1")
    assert policies.consider("job-1", PSI, GUEST, runs=RUNS).kind == "approve"
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "match")
    assert used(policies) == Counts(runs=1, psi_runs=RUNS)


def test_runs_that_begin_before_the_last_one_has_ended_count_too(house: House) -> None:
    """Lie: the next run is begun by hand while the last one goes on, so that no end settles it.

    The ledger counts runs by their numbers: ATL-POL-014.
    """
    house.grant()
    policies = house.policies
    policies.consider("job-1", PSI, GUEST, runs=RUNS)
    for run in range(1, RUNS + 1):
        policies.begin("job-1", PSI, "match", turn=run)
        policies.ledger.charge("job-1", PSI, "match", run, MATCHED)
    with pytest.raises(AtollError, match="ATL-POL-014"):
        policies.begin("job-1", PSI, "match", turn=RUNS + 1)
    assert used(policies) == Counts(runs=1, psi_runs=RUNS)


def approved_by_person(house: House, job: str, runs: int = 9) -> None:
    """Let a person approve the job of a partner that no grant names."""
    name = f"pia-{job}"
    approver = person(house.access, house.admin, name, ["approver"])
    assert house.policies.consider(job, PSI, GUEST, runs=runs).kind == "queue"
    house.policies.approve(approver, job, PSI, PSI.digest(), GUEST, runs=runs)


def test_attempts_of_what_a_person_approved_stop_at_the_tables_cap(house: House) -> None:
    """Lie: nine runs were approved by hand, and each is wanted. Two are capped: ATL-POL-005."""
    policies = house.policies
    policies.grants.cap(house.admin, "baskets", "*", Caps(psi_runs=2))
    approved_by_person(house, "job-1")
    for attempt in (0, 1):
        policies.begin("job-1", PSI, "match", spends=attempt > 0)
        policies.ledger.charge("job-1", PSI, "match", attempt, MATCHED)
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", PSI, "match", spends=True)
    policies.ledger.settle("job-1")
    with pytest.raises(AtollError, match="ATL-POL-005"):
        policies.begin("job-1", PSI, "match")
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
