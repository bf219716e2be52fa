"""A refusal or an approval that meets another decision on the job: what was answered holds.

The partner's load widens the time between what people decided and what the job's machine has taken
in; here each order of the two is played by itself.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from atoll.core.errors import AtollError
from atoll.flow import control
from atoll.flow.access import Actor
from atoll.flow.node.jobs.deciding import Answer, Decider
from atoll.flow.policy import repository
from tests.dishonest.initiating import HONEST, LIAR
from tests.flow.access.support import person
from tests.flow.control.pair import JOB_ID, KEYS, Node, World, make_job
from tests.flow.policy.conftest import House, house
from tests.flow.policy.plans import GUEST, only_psi

__all__ = ["house"]

PSI = only_psi()


class Desk:
    """A job that waits for the honest party's people, and what two approvers make of it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.anna = person(house.access, house.admin, "anna", ["approver"])
        self.bert = person(house.access, house.admin, "bert", ["approver"])
        identity = SimpleNamespace(sign=KEYS[HONEST].sign)
        self.decider = Decider(house.policies, lambda: cast(Any, identity), lambda: 1000.0, runs=3)
        self.world = World()
        self.node.policy = lambda command: control.Decided("queue", self.node.now, run=command.run)
        self.world[LIAR].submit(make_job())
        self.world.rounds(6)
        assert self.node.shown[0] == "awaiting approval"
        # As both saw it: nothing of this has happened yet.
        self.seen = self.node.record

    @property
    def node(self) -> Node:
        return self.world[HONEST]

    def approval(self, actor: Actor) -> Answer:
        assert self.seen.plan is not None
        return self.decider.approve(self.seen, self.seen.plan.digest(), actor, "")

    def refusal(self, actor: Actor) -> Answer:
        return self.decider.refuse(self.seen, "no", actor)

    def arrive(self, answer: Answer) -> None:
        """Let the control thread take a decision in."""
        self.node.happen(JOB_ID, answer(self.node.record, self.node.now))

    def again(self) -> None:
        """Let the initiator run the job once more; the node's policies decide."""
        self.node.policy = lambda command: cast(
            Any, self.decider.decide(self.node.record, command)(self.node.now)
        )
        self.world.rounds(20, 5.0)
        liar = self.world[LIAR]
        if liar.end[0] != "refused":
            liar.happen(JOB_ID, control.RetryAsked(liar.now))
        self.world.rounds(20, 5.0)


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


def test_a_refusal_that_meets_an_approval_on_its_way_refuses(desk: Desk) -> None:
    """Found: the refusal was answered 200 and dropped, as the approval came in before it."""
    approval, refusal = desk.approval(desk.anna), desk.refusal(desk.bert)
    desk.arrive(refusal)
    assert desk.node.record.own.refusal is not None
    with pytest.raises(AtollError, match="ATL-NOD-023"):
        desk.arrive(approval)
    desk.again()
    assert desk.node.end[:2] == ("refused", "ATL-POL-016")
    assert desk.node.started() == []


def test_a_refusal_that_comes_after_the_approval_stops_the_job(desk: Desk) -> None:
    approval, refusal = desk.approval(desk.anna), desk.refusal(desk.bert)
    desk.arrive(approval)
    assert desk.node.record.covered
    desk.arrive(refusal)
    assert not desk.node.record.approved[HONEST].covers(2)
    desk.world.rounds(20, 5.0)
    assert desk.node.end[0] == "cancelled"
    desk.again()
    assert desk.node.end[:2] == ("refused", "ATL-POL-016")
    assert desk.node.started() == []


def test_a_refusal_of_a_job_that_goes_on_meanwhile_stops_it(desk: Desk) -> None:
    """The approver looked at the job before; a step of it is at work by now."""
    desk.node.task = lambda command: None
    desk.arrive(desk.approval(desk.anna))
    desk.world.rounds(6)
    begun = desk.node.started()
    assert begun
    desk.arrive(desk.refusal(desk.bert))
    desk.again()
    assert desk.node.end[:2] == ("refused", "ATL-POL-016")
    assert desk.node.started() == begun


def test_an_approval_of_a_job_that_was_stopped_meanwhile_is_answered_so(desk: Desk) -> None:
    approval = desk.approval(desk.anna)
    desk.node.happen(JOB_ID, control.StopAsked("cancel", "bert", desk.node.now))
    with pytest.raises(AtollError, match="ATL-NOD-023"):
        desk.arrive(approval)
    desk.world.rounds(20, 5.0)
    assert desk.node.started() == []


def test_two_approvals_are_one(desk: Desk) -> None:
    first, second = desk.approval(desk.anna), desk.approval(desk.bert)
    desk.arrive(first)
    approved = desk.node.record.approved[HONEST]
    desk.arrive(second)
    assert desk.node.record.approved[HONEST] == approved
    desk.world.rounds(20, 5.0)
    assert desk.node.end[0] == "success"


def test_nothing_begins_of_what_is_refused(house: House) -> None:
    """Whatever its machine takes the job for, the database's refusal binds: ATL-POL-016."""
    policies = house.policies
    house.grant()
    bert = person(house.access, house.admin, "bert", ["approver"])
    assert policies.consider("job-1", PSI, GUEST, runs=2).kind == "approve"
    policies.begin("job-1", PSI, "match", 0, GUEST, turn=1)
    policies.refuse(bert, "job-1", PSI.digest(), "no")
    for turn in (1, 2):
        with pytest.raises(AtollError, match="ATL-POL-016"):
            policies.begin("job-1", PSI, "match", 1, GUEST, turn=turn)
        with pytest.raises(AtollError, match="ATL-POL-016"):
            policies.check_refused("job-1", PSI, turn)


def test_an_approval_after_the_end_keeps_nothing_reserved(house: House) -> None:
    """Anna approves what bert stops at the same time: its end comes before her reservation."""
    policies = house.policies
    anna = person(house.access, house.admin, "anna", ["approver"])
    decider = Decider(policies, lambda: cast(Any, None), lambda: 0.0)
    policies.consider("job-1", PSI, GUEST)
    policies.ledger.settle("job-1", 1)
    policies.approve(anna, "job-1", PSI, PSI.digest(), GUEST)
    assert policies.ledger.open_jobs() == ["job-1"]
    alive: Any = SimpleNamespace(id="job-1", run=1, end=None)
    decider.settle_ended(alive)
    decider.settle_ended(None)
    assert policies.ledger.open_jobs() == ["job-1"]
    alive.end = control.Ended("cancelled", None, None, None, {})
    decider.settle_ended(alive)
    assert policies.ledger.open_jobs() == []


def test_what_is_refused_is_kept_over_what_was_approved(desk: Desk) -> None:
    desk.approval(desk.anna)
    desk.refusal(desk.bert)
    assert desk.seen.plan is not None
    digest = desk.seen.plan.digest()
    found = desk.house.database.read(lambda c: repository.decided(c, JOB_ID, digest))
    assert found is not None
    assert (found.decision, found.by) == ("refuse", "bert")
