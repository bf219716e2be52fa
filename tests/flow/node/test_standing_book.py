"""The book of standing agreements over a real database, real policies and a real plan."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from atoll.core.errors import AtollError
from atoll.flow.access import Access, Actor
from atoll.flow.node.standing.agreement import FIRST_SESSION
from atoll.flow.node.standing.book import Book, end_of
from atoll.flow.policy.counts import Counts
from atoll.flow.policy.exposure import table_exposures
from atoll.flow.policy.service import Policies
from atoll.flow.store import (
    Database,
    DataRow,
    DataSets,
    JobRow,
    Jobs,
    Traffic,
)
from atoll.jobs.plan import Plan, StandingTerms
from tests.flow.access.support import Wall, boss, open_access, open_database, person
from tests.flow.policy.books import append, usage
from tests.flow.policy.plans import COLUMNS, GUEST, HOST, plan_of

JOB = "20260101000000-00000001"
# The job trains as well: the bits of its partitions count as rows from when it is approved.
TRAINED = table_exposures(plan_of(), HOST)["baskets"].partners[GUEST].steps["train"].rows
DAY = 86400.0
# The clock of the tests stands at 13:46 on 12 January 1970.
UNTIL = "1970-01-14"


def standing(**terms: Any) -> Plan:
    """Return a real plan whose scoring step agrees to requests as well."""
    values: dict[str, Any] = {"asks": "guest", "per_day": 5, "most": 8, "until": UNTIL, **terms}
    whole = plan_of().model_dump()
    return Plan.model_validate({**whole, "standing": {"test": StandingTerms(**values)}})


ID = f"{JOB}.test"


@dataclass
class Desk:
    """A host's node: database, policies, people and book."""

    database: Database
    access: Access
    admin: Actor
    wall: Wall
    policies: Policies
    book: Book
    ended: list[str] = field(default_factory=list)

    def grant(self, **terms: Any) -> str:
        whole = {
            "partners": [GUEST],
            "components": ["psi", "split", "boosting", "prediction"],
            "automatic": True,
            **terms,
        }
        return self.policies.grants.add(self.admin, "baskets", whole).id

    def run(self, plan: Plan, job: str = JOB) -> str:
        """Approve a job, end it well with nothing revealed, and record it; return its id."""
        assert self.policies.consider(job, plan, GUEST).kind == "approve"
        self.policies.ledger.settle(job)
        self.ended_well(plan, job)
        (made,) = self.book.record(job)
        return made

    def ended_well(self, plan: Plan, job: str = JOB) -> None:
        row = JobRow(
            id=job,
            name="credit",
            initiator=GUEST,
            state="success",
            created=self.wall.now,
            updated=self.wall.now,
            ended=self.wall.now,
            job=plan.job.canonical(),
            plan=plan.canonical(),
            plan_digest=plan.digest(),
        )
        Jobs(self.database).create(row)

    def small(self, sessions: int) -> Book:
        """Return the book of a node that allows so many sessions a day."""
        return Book(
            self.database, self.policies, self.access, sessions_per_day=sessions, wall=self.wall
        )

    def rows(self) -> int:
        return usage(self.policies.ledger, "baskets", GUEST).rows

    def lines(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.policies.ledger.entries() if line["kind"] == kind]

    def audited(self, action: str) -> list[dict[str, Any]]:
        return [line for line in self.access.audit.page().rows if line["action"] == action]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    wall = Wall()
    with open_database(tmp_path) as database:
        access = open_access(database, wall)
        table = DataRow(
            name="baskets",
            path="baskets.csv",
            format="csv",
            digest="d" * 64,
            columns=[{"name": name} for name in COLUMNS],
            rows=500,
            bytes=1,
            created=wall.now,
        )
        DataSets(database).add(table)
        policies = Policies(database, HOST, access, wall=wall)
        ended: list[str] = []
        book = Book(database, policies, access, ended=ended.append, wall=wall)
        yield Desk(database, access, boss(access), wall, policies, book, ended)


def code_of(function: Any, *arguments: Any) -> str:
    with pytest.raises(AtollError) as caught:
        function(*arguments)
    return caught.value.code


def test_what_a_job_agreed_to_is_recorded_once(desk: Desk) -> None:
    desk.grant()
    plan = standing()
    assert desk.run(plan) == ID
    assert desk.book.record(JOB) == [ID]
    found = desk.book.live(ID)
    assert (found.job, found.step, found.party, found.state) == (JOB, "test", GUEST, "live")
    assert found.plan == plan
    assert found.plan.digest() == plan.digest()
    assert found.terms == plan.standing["test"]
    assert found.until == end_of(UNTIL) == 14 * DAY
    assert (found.used_today, found.used) == (0, 0)
    assert len(desk.audited("agreement.begin")) == 1
    # The job's own end exposed nothing of it.
    assert usage(desk.policies.ledger, "baskets", GUEST) == Counts()


def test_a_job_without_standing_terms_leaves_none(desk: Desk) -> None:
    desk.ended_well(plan_of())
    assert desk.book.record(JOB) == []
    assert code_of(desk.book.live, ID) == "ATL-AGR-001"


def test_what_was_asked_counts_in_the_ledger_by_partner(desk: Desk) -> None:
    desk.grant()
    desk.run(standing())
    session = desk.book.open_session(ID)
    assert session == FIRST_SESSION
    desk.book.spend(ID, session, 2)
    desk.book.spend(ID, session, 1)
    assert desk.rows() == 3
    spent = desk.lines("spend")
    assert [(one["table"], one["partner"], one["counts"]) for one in spent] == [
        ("baskets", GUEST, {"rows": 2}),
        ("baskets", GUEST, {"rows": 1}),
    ]
    assert {(one["run"], one["step"], one["attempt"]) for one in spent} == {(JOB, "test", 1000)}
    assert (desk.book.live(ID).used_today, desk.book.live(ID).used) == (3, 3)
    # As after a restart, and beside an open account of the same job.
    again = Policies(desk.database, HOST, desk.access, wall=desk.wall)
    assert usage(again.ledger, "baskets", GUEST).rows == 3
    assert again.ledger.verify() is None


def test_the_bound_of_a_day_and_the_whole_bound_refuse_and_count_nothing(desk: Desk) -> None:
    desk.grant()
    desk.run(standing())
    session = desk.book.open_session(ID)
    desk.book.spend(ID, session, 4)
    assert code_of(desk.book.spend, ID, session, 2) == "ATL-AGR-004"
    desk.book.spend(ID, session, 1)
    assert code_of(desk.book.spend, ID, session, 1) == "ATL-AGR-004"
    desk.wall.now += DAY
    assert desk.book.live(ID).used_today == 0
    assert code_of(desk.book.spend, ID, session, 4) == "ATL-AGR-005"
    desk.book.spend(ID, session, 3)
    assert desk.book.get(ID).state == "used up"
    assert code_of(desk.book.spend, ID, session, 1) == "ATL-AGR-005"
    assert (desk.rows(), desk.book.get(ID).used, desk.book.get(ID).used_today) == (8, 8, 3)
    refused = [line["detail"]["code"] for line in desk.audited("agreement.spend")]
    assert refused == ["ATL-AGR-004", "ATL-AGR-004", "ATL-AGR-005", "ATL-AGR-005"]


def test_a_clock_that_is_set_back_gives_no_day_anew(desk: Desk) -> None:
    desk.grant()
    desk.run(standing())
    session = desk.book.open_session(ID)
    desk.wall.now += DAY
    desk.book.spend(ID, session, 5)
    desk.wall.now -= DAY
    assert code_of(desk.book.spend, ID, session, 1) == "ATL-AGR-004"
    assert desk.book.get(ID).used_today == 5


def test_of_many_at_once_no_more_get_through_than_the_bound(desk: Desk) -> None:
    desk.grant()
    desk.run(standing())
    session = desk.book.open_session(ID)

    def ask(_: int) -> bool:
        try:
            desk.book.spend(ID, session, 1)
        except AtollError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(20))) == 5
    assert desk.rows() == 5


@pytest.mark.parametrize("units", [0, -3])
def test_nobody_gives_back_by_asking_for_less_than_one(desk: Desk, units: int) -> None:
    desk.grant()
    desk.run(standing())
    session = desk.book.open_session(ID)
    desk.book.spend(ID, session, 2)
    assert code_of(desk.book.spend, ID, session, units) == "ATL-AGR-006"
    assert desk.book.get(ID).used == 2


def test_after_its_last_day_nothing_is_asked(desk: Desk) -> None:
    desk.grant()
    desk.run(standing())
    session = desk.book.open_session(ID)
    desk.wall.now = end_of(UNTIL) - 1.0
    desk.book.spend(ID, session, 1)
    desk.wall.now = end_of(UNTIL)
    assert code_of(desk.book.live, ID) == "ATL-AGR-003"
    assert code_of(desk.book.spend, ID, session, 1) == "ATL-AGR-003"
    assert code_of(desk.book.open_session, ID) == "ATL-AGR-003"
    assert desk.book.get(ID).state == "over"
    assert desk.book.list(live=True, limit=5, after=None).rows == ()
    assert [row.id for row in desk.book.list(live=False, limit=5, after=None).rows] == [ID]


def test_people_end_it_at_once_and_for_good(desk: Desk) -> None:
    desk.grant()
    desk.run(standing())
    session = desk.book.open_session(ID)
    viewer = person(desk.access, desk.admin, "vera", ["viewer"])
    assert code_of(desk.book.end, viewer, ID) == "ATL-ACC-003"
    first = desk.book.end(desk.admin, ID, "no longer needed")
    assert (first.ended_by, first.reason) == ("admin", "no longer needed")
    desk.wall.now += 60.0
    assert desk.book.end(desk.admin, ID, "again") == first
    assert desk.ended == [ID, ID]
    with pytest.raises(AtollError, match="admin ended the standing agreement on 1970-01-12") as no:
        desk.book.spend(ID, session, 1)
    assert no.value.code == "ATL-AGR-002"
    assert code_of(desk.book.live, ID) == "ATL-AGR-002"
    assert code_of(desk.book.open_session, ID) == "ATL-AGR-002"
    ended = [line["outcome"] for line in desk.audited("agreement.end")]
    assert ended == ["refused", "done"]
    # The job run again, or recorded again, does not bring it back.
    desk.book.record(JOB)
    assert desk.book.get(ID).state == "ended"


def test_a_cap_of_rows_binds_across_agreements_and_jobs(desk: Desk) -> None:
    desk.grant(limits={"rows": TRAINED + 108})
    desk.run(standing())
    # The terms may ask for 8 in all, and a job that scores 100 rows fits beside.
    session = desk.book.open_session(ID)
    desk.book.spend(ID, session, 5)
    plan, other = plan_of(), "20260101000000-00000002"
    assert desk.policies.consider(other, plan, GUEST).kind == "approve"
    desk.wall.now += DAY
    desk.book.spend(ID, session, 3)
    assert desk.rows() == TRAINED + 108
    third = desk.policies.consider("20260101000000-00000003", plan, GUEST)
    assert (third.kind, third.code) == ("refuse", "ATL-POL-005")


def test_a_cap_that_others_used_up_refuses_a_request(desk: Desk) -> None:
    desk.grant(limits={"rows": TRAINED + 108})
    desk.run(standing())
    session = desk.book.open_session(ID)
    for number, more in ((2, 0), (3, TRAINED)):
        row = {"run": f"job-{number}", "job": "", "plan": "", "step": "test", "attempt": 0}
        whose = {"table": "baskets", "digest": "d", "partner": GUEST, "counts": {"rows": 51 + more}}
        append(desk.policies.ledger, ("charge", {**row, **whose}))
    desk.book.spend(ID, session, 5)
    desk.wall.now += DAY
    assert code_of(desk.book.spend, ID, session, 2) == "ATL-POL-005"
    desk.book.spend(ID, session, 1)
    assert (desk.rows(), desk.book.get(ID).used) == (TRAINED + 108, 6)


def test_more_than_a_cap_has_room_for_is_not_agreed_to(desk: Desk) -> None:
    desk.grant(limits={"rows": TRAINED + 107})
    found = desk.policies.consider(JOB, standing(), GUEST)
    assert (found.kind, found.code) == ("approve", None)
    other = desk.policies.consider("20260101000000-00000002", standing(most=108), GUEST)
    assert (other.kind, other.code) == ("refuse", "ATL-POL-005")


def test_without_its_grant_nothing_is_asked(desk: Desk) -> None:
    grant = desk.grant()
    desk.run(standing())
    session = desk.book.open_session(ID)
    desk.book.spend(ID, session, 1)
    desk.policies.grants.revoke(desk.admin, grant)
    assert code_of(desk.book.spend, ID, session, 1) == "ATL-POL-001"
    assert desk.rows() == 1


def test_what_a_person_approved_beside_a_grant_is_not_held_to_it(desk: Desk) -> None:
    # Of two partners one has a grant; the other was approved by a person.
    plan, policies = standing(), desk.policies
    grant = desk.grant()
    desk.run(plan)
    ((share, partner),) = policies.shares(plan, "test")
    assert partner == GUEST

    def spend(session: int) -> None:
        shares = ((share, GUEST), (share, "mill"))
        desk.database.write(lambda c: policies.spend(c, JOB, plan, "test", session, 1, shares))

    spend(1000)
    assert usage(policies.ledger, "baskets", "mill").rows == 1
    policies.grants.revoke(desk.admin, grant)
    assert code_of(spend, 1001) == "ATL-POL-001"
    assert usage(policies.ledger, "baskets", "mill").rows == 1


def test_a_grant_of_everything_does_not_cover_a_standing_agreement(desk: Desk) -> None:
    desk.grant(components=["*"])
    found = desk.policies.consider(JOB, standing(), GUEST)
    assert (found.kind, found.code) == ("queue", "ATL-POL-003")
    assert desk.policies.consider("20260101000000-00000002", plan_of(), GUEST).kind == "approve"


def test_what_was_never_approved_here_spends_nothing(desk: Desk) -> None:
    desk.grant()
    plan = standing()
    desk.ended_well(plan)
    desk.book.record(JOB)
    assert code_of(desk.book.open_session, ID) == "ATL-PLN-006"


def test_a_lost_attempt_of_the_jobs_step_costs_no_rows(desk: Desk) -> None:
    desk.grant(limits={"rows": TRAINED + 100})
    plan = standing()
    assert desk.policies.consider(JOB, plan, GUEST).kind == "approve"
    desk.policies.begin(JOB, plan, "test", 0, GUEST)
    desk.policies.ledger.charge(JOB, plan, "test", 0, None)
    desk.policies.begin(JOB, plan, "test", 1, GUEST)
    desk.policies.ledger.charge(JOB, plan, "test", 1, [])
    desk.policies.ledger.settle(JOB)
    assert desk.rows() == 0


def test_sessions_are_numbered_for_good(desk: Desk) -> None:
    desk.grant()
    desk.run(standing())
    numbers = [desk.book.open_session(ID), desk.book.open_session(ID)]
    assert numbers == [1000, 1001]
    # A partner that was restored from a backup goes on where the other is.
    assert desk.book.open_session(ID, 2000) == 2000
    assert desk.book.open_session(ID, 5) == 2001
    assert code_of(desk.book.spend, ID, 1999, 1) == "ATL-AGR-007"


REVEAL = {
    "sender": GUEST,
    "receiver": HOST,
    "message": "scoring.ids",
    "field": "ids",
    "elements": 4,
    "what": "which rows",
}
TRAFFIC = {"peer": GUEST, "task": "scoring", "tag": "ids", "bytes_sent": 7, "messages_sent": 1}


def test_a_closed_session_tells_what_was_sent_and_takes_no_more(desk: Desk) -> None:
    desk.grant()
    desk.run(standing())
    session = desk.book.open_session(ID)
    desk.book.spend(ID, session, 4)
    for _ in range(2):
        desk.book.close_session(ID, session, [REVEAL], [TRAFFIC])
    assert code_of(desk.book.spend, ID, session, 1) == "ATL-AGR-007"
    (reported,) = desk.lines("reveal")
    assert {name: reported[name] for name in REVEAL} == REVEAL
    assert (reported["run"], reported["attempt"]) == (JOB, session)
    (line,) = desk.lines("session")
    assert (line["units"], line["known"]) == (4, True)
    (moved,) = Traffic(desk.database).list(JOB).rows
    assert (moved.attempt, moved.bytes_sent, moved.bytes_received) == (session, 7, 0)
    assert desk.rows() == 4


def test_what_a_killed_node_left_is_taken_up(desk: Desk) -> None:
    desk.grant()
    desk.run(standing())
    session = desk.book.open_session(ID)
    desk.book.spend(ID, session, 2)
    later = "20260101000000-00000002"
    plan = standing(until="1970-02-01")
    desk.policies.consider(later, plan, GUEST)
    desk.policies.ledger.settle(later)
    desk.ended_well(plan, later)
    again = Book(desk.database, desk.policies, desk.access, wall=desk.wall)
    for _ in range(2):
        again.take_up()
    (line,) = desk.lines("session")
    assert (line["attempt"], line["units"], line["known"]) == (session, 2, False)
    assert again.live(f"{later}.test").terms.until == "1970-02-01"
    assert desk.rows() == 2
    assert code_of(again.spend, ID, session, 1) == "ATL-AGR-007"
    assert again.open_session(ID) == session + 1


def test_a_job_that_is_run_again_leaves_the_plan_that_was_signed(desk: Desk) -> None:
    desk.grant()
    plan = standing()
    desk.run(plan)
    changed = standing(most=1000)
    Jobs(desk.database).update(JOB, {"plan": changed.canonical(), "plan_digest": changed.digest()})
    desk.book.record(JOB)
    fresh = Book(desk.database, desk.policies, desk.access, wall=desk.wall)
    assert fresh.live(ID).plan.digest() == plan.digest()
    assert fresh.live(ID).terms.most == 8


def test_a_plan_keeps_its_digest_in_the_book(desk: Desk) -> None:
    desk.grant()
    plan = standing()
    desk.run(plan)
    row = desk.book.row(ID)
    assert row.plan_digest == plan.digest()
    assert json.loads(json.dumps(row.terms)) == plan.standing["test"].model_dump(mode="json")


def test_a_party_is_withdrawn_from_agreements_and_grants(desk: Desk) -> None:
    """Once trusted again, a revoked partner found its agreement and grants as they had been."""
    alone = desk.grant()
    shared = desk.grant(partners=[GUEST, "other"])
    anyone = desk.grant(partners=["*"])
    assert desk.run(standing()) == ID

    def withdraw(party: str) -> None:
        def work(connection: Any) -> Any:
            desk.policies.grants.withdraw(connection, party, "boss")
            return desk.book.withdraw(connection, party, "boss")

        desk.database.write(work)()

    withdraw("third")
    assert desk.book.live(ID).state == "live"
    assert not desk.audited("agreement.end")
    withdraw(GUEST)
    assert code_of(desk.book.live, ID) == "ATL-AGR-002"
    assert desk.book.row(ID).ended_by == "boss"
    assert desk.ended == [ID]
    grants = {grant.id: grant for grant in desk.policies.grants.list(desk.admin).rows}
    assert grants[alone].revoked is not None
    assert (grants[shared].revoked, grants[shared].partners) == (None, ("other",))
    assert (grants[anyone].revoked, grants[anyone].partners) == (None, ("*",))
    withdraw(GUEST)
    assert len(desk.audited("agreement.end")) == 1
    assert len(desk.audited("data.revoke")) == 2
