"""How this party answers a plan: by its policies, or by a person, and always with a signature."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol

from atoll.channel.identity import Identity
from atoll.components.synthetic import NAME as SYNTHETIC
from atoll.core import codec
from atoll.core.errors import AtollError, UserError
from atoll.core.names import party_of
from atoll.flow.access import Actor
from atoll.flow.control import (
    Decide,
    Decided,
    Event,
    JobRecord,
    Moment,
    StopAsked,
    awaits_decision,
    open_decision,
)
from atoll.flow.node.jobs.declaring import OwnDeclaration
from atoll.flow.node.settings import PolicySection
from atoll.flow.planning import COIN_STEP
from atoll.flow.policy.decision import Decision
from atoll.flow.policy.made_up import MadeUpLimits, over, uses_only_synthetic_data
from atoll.flow.policy.refusals import REFUSED_BY_PERSON
from atoll.flow.policy.service import Policies
from atoll.jobs import approval as approvals
from atoll.jobs.approval import Approval
from atoll.jobs.commitment import Opening
from atoll.jobs.definition import Job
from atoll.jobs.errors import ConflictError, DeniedError
from atoll.jobs.plan import Plan

_LOG = logging.getLogger(__name__)
# So long an approval holds; a run that began by then goes on.
VALIDITY_SECONDS = 7 * 86400.0

Make = Callable[[Moment], Event]
# What a person decided, for the job as the control thread has it by then.
Answer = Callable[[JobRecord, Moment], Event]


class Verify(Protocol):
    """Checks a plan against what this party alone can see, its tables' values among it or not."""

    def __call__(self, plan: Plan, opening: Opening | None, *, values: bool = True) -> None:
        """Return if it fits. Errors: ATL-PLN-011, those of the tables."""


def made_up_limits(chosen: PolicySection) -> MadeUpLimits | None:
    """Return what partners may have over made-up tables without approval; None: nothing."""
    if not chosen.synthetic:
        return None
    seconds, at_once = chosen.synthetic_seconds, chosen.synthetic_at_once
    return MadeUpLimits(seconds, at_once, chosen.synthetic_per_day)


class Decider:
    """Answers plans for one party, and keeps the ledger of what its tasks reveal."""

    def __init__(
        self,
        policies: Policies,
        identity: Callable[[], Identity],
        wall: Callable[[], float],
        *,
        synthetic: MadeUpLimits | None = MadeUpLimits(),
        runs: int = 1,
    ) -> None:
        self._verify: Verify = lambda plan, opening, *, values=True: None
        self._explain: Callable[[str, AtollError], None] = lambda job, error: None
        self._synthetic = synthetic
        self._runs = runs
        self._policies = policies
        self._identity = identity
        self._wall = wall

    def attach(self, verify: Verify, explain: Callable[[str, AtollError], None]) -> None:
        """Set what checks a plan against private facts, and who keeps the reason for own people."""
        self._verify, self._explain = verify, explain

    def decide(self, record: JobRecord, command: Decide) -> Make:
        """Decide by the policies and return the resulting event."""
        decision = self._made_up(record, command) or self._policies.consider(
            record.id,
            command.plan,
            record.initiator,
            run=command.run,
            runs=self._runs,
            stopped=record.ask_person,
        )
        if decision.kind == "approve":
            return self._approved(record, command)
        if decision.kind == "refuse":
            code, run = decision.code, command.run
            _LOG.info("job %s is refused: %s", record.id, "; ".join(decision.reasons))
            return lambda now: Decided(kind="refuse", now=now, code=code, run=run)
        return lambda now: Decided(kind="queue", now=now, run=command.run)

    def _made_up(self, record: JobRecord, command: Decide) -> Decision | None:
        """Decide on a job over made-up tables alone; None: it is one like any other."""
        plan = command.plan
        if self._synthetic is None or not uses_only_synthetic_data(plan, record.party):
            return None
        if record.ask_person:
            return None
        if record.drives:
            return Decision("approve")
        return self._policies.consider_made_up(
            record.id,
            plan,
            record.initiator,
            self._synthetic,
            self._attempts(plan),
            run=command.run,
        )

    def _attempts(self, plan: Plan) -> int:
        """Return how often a step may run: each run may have all attempts that the plan signs."""
        return self._runs * max(plan.attempts.values(), default=1)

    def needs_no_approval(self, record: JobRecord) -> bool:
        """Return whether a partner's job is small and over made-up tables alone, by its plan.

        What a person approved beyond the allowed number of such jobs counts among them.
        """
        plan, limits = record.plan, self._synthetic
        if plan is None or limits is None or not uses_only_synthetic_data(plan, record.party):
            return False
        return over(plan, limits, self._attempts(plan), 0, 0) is None

    def _approved(self, record: JobRecord, command: Decide) -> Make:
        """Sign a plan that the policies allow, unless this party can see that it cannot run.

        A partner sees the answer, and asking costs it nothing: so in its jobs no value of a table
        decides it. What values prevent fails when it runs, which is charged.
        """
        try:
            self._verify(command.plan, record.opening, values=record.drives)
        except UserError as error:
            _LOG.info("job %s cannot run here: %s", record.id, error)
            self._explain(record.id, error)
            code, run = error.code, command.run
            return lambda now: Decided(kind="refuse", now=now, code=code, run=run)
        return self.approval(record.party, command)

    def approval(self, party: str, command: Decide) -> Make:
        """Sign a plan and return the event that carries the signature."""
        made = approvals.make(
            command.plan,
            party,
            nonce=command.nonce,
            expires=int(self._wall() + VALIDITY_SECONDS),
            runs=self._runs,
        )
        document = made.encode()
        signature = self._identity().sign(document)
        run = command.run
        return lambda now: Decided(
            kind="approve", now=now, document=document, signature=signature, run=run
        )

    def approve(self, record: JobRecord, digest: str, actor: Actor, submitter: str) -> Answer:
        """Let a person approve what waits.

        Errors: those of ``Policies.approve``, ATL-NOD-023 (also of the answer, where the job was
        refused or stopped meanwhile), ATL-PLN-011 it cannot run here.
        """
        command = self._asked(record)
        self._verify(command.plan, record.opening)
        self._policies.approve(
            actor,
            record.id,
            command.plan,
            digest,
            record.initiator,
            submitter=submitter,
            run=command.run,
            runs=self._runs,
        )
        made, run = self.approval(record.party, command), command.run

        def answer(now_is: JobRecord, now: Moment) -> Event:
            if not now_is.covered and not awaits_decision(now_is, run):
                raise _waits_not(record.id)
            return made(now)

        return answer

    def refuse(self, record: JobRecord, reason: str, actor: Actor) -> Answer:
        """Let a person refuse what waits, or later runs of a partner's job that has ended.

        What goes on all the same, as someone approved it meanwhile, is stopped.
        Errors: those of ``Policies.refuse``, ATL-NOD-023.
        """
        over = record.end is not None and not record.drives
        command = open_decision(record) if over else self._asked(record)
        if command is None or not command.plan.complete:
            raise _waits_not(record.id)
        run = command.run
        self._policies.refuse(actor, record.id, command.plan.digest(), reason, run=run)

        def answer(now_is: JobRecord, now: Moment) -> Event:
            if awaits_decision(now_is, run):
                return Decided(kind="refuse", now=now, code=REFUSED_BY_PERSON, run=run)
            return StopAsked("cancel", actor.user, now)

        return answer

    def _asked(self, record: JobRecord) -> Decide:
        # What the machine asked, perhaps before this process began.
        command = open_decision(record) if record.queued else None
        if command is None:
            raise _waits_not(record.id)
        return command

    def declared(self, run: str, job: Job, declared: OwnDeclaration) -> None:
        """Write down which of the job's other parties are sent the facts of own tables."""
        peers = job.parties.keys() - {self._identity().party}
        shown = {peer: declared.to(peer) for peer in peers}
        sizes = {peer: len(_tables(entry)) for peer, entry in shown.items() if entry.tables}
        opening = declared.opening
        contents = {} if opening is None else opening.tables
        committed = {f.digest: contents.get(step) for step, f in declared.tables.items()}
        names = {facts.name for facts in declared.tables.values()}
        self._policies.ledger.declared(run, job, sizes, committed, names)

    def preview_declared(self, job: Job, declared: OwnDeclaration, partner: str) -> None:
        """Write down that a partner that asks for a plan is sent the facts of own tables.

        The same again reveals nothing new, whatever job it is asked for: so the ledger grows by
        what there is to send, not by how often someone asks.
        """
        for step, facts in declared.tables.items():
            # Each by itself: asked for in another company, a table reveals nothing new either.
            if job.steps[step].component == SYNTHETIC:
                continue
            tables = _tables(replace(declared, tables={step: facts}))
            run = f"plan for {partner} {hashlib.sha256(tables).hexdigest()[:16]}"
            self._policies.ledger.declared(run, job, {partner: len(tables)})

    def guard(self, partner: str, tables: Collection[str]) -> None:
        """Refuse to send a partner facts of tables where no grant names it and no person is asked;
        also anything of a job that brings none.

        Errors: ATL-POL-001, the same whether there is such a table or not.
        """
        if self._policies.settings.default == "ask":
            return
        granted = self._policies.granted(partner, tables)
        if not tables or set(tables) - granted:
            raise DeniedError(
                "ATL-POL-001",
                "no live grant for this partner, and policy.default is deny",
                party=partner,
                hint="grant it: atoll data grant",
            )

    def check_new(self, job: str) -> None:
        """Refuse a proposal with the id of a deleted job. Errors: ATL-POL-018."""
        self._policies.check_new(job)

    def begin(self, record: JobRecord, step: str, attempt: int, *, spends: bool = False) -> None:
        """Cover one more attempt of a step, and write down what all agreed to before the first.

        ``spends``: it takes one of the approved runs. Errors: those of ``Policies.begin`` and of
        ``DatabaseLedger.accept``.
        """
        if step == COIN_STEP:
            signed = [f.approval for f in record.facts.values() if f.approval is not None]
            agreed = [Approval.decode(entry.document) for entry in signed]
            self._policies.ledger.accept(record.id, agreed)
        if step == COIN_STEP and record.job.seed is not None:
            return  # Nothing is drawn.
        plan, run = record.plan, record.run
        if plan is None:
            return
        if self._synthetic is not None and uses_only_synthetic_data(plan, record.party):
            self._policies.check_refused(record.id, plan, run)
            return
        whose = (record.id, plan, step, attempt, record.initiator)
        self._policies.begin(*whose, turn=run, spends=spends)

    def revealed(self, data: Mapping[str, Any]) -> bool:
        """Return whether an attempt sent another party what the plan calls revealed, or may have.

        No one knows of a worker that was lost.
        """
        lines, own = data.get("reveals"), self._identity().party
        return lines is None or any(
            line["elements"] and party_of(line["receiver"]) != own for line in lines
        )

    def charge(
        self,
        record: JobRecord | None,
        step: str,
        attempt: int,
        data: Mapping[str, Any],
        state: str = "lost",
    ) -> None:
        """Write what an attempt revealed; unknown of a worker that was lost."""
        if record is not None and record.plan is not None:
            toss = step == COIN_STEP and record.job.seed is None
            aborted = toss and state != "success" and self.revealed(data)
            self._policies.ledger.charge(
                record.id, record.plan, step, attempt, data.get("reveals"), aborted=aborted
            )

    def settle(self, job: str, run: int) -> None:
        """Close the account of a job of which a run has ended; nothing if a later one goes on."""
        self._policies.ledger.settle(job, run)

    def settle_ended(self, record: JobRecord | None) -> None:
        """Free again what a decision reserved after the job's end; call it after each decision."""
        if record is not None and record.end is not None:
            self.settle(record.id, record.run)


def _waits_not(job: str) -> ConflictError:
    return ConflictError(
        "ATL-NOD-023",
        "the job does not wait for an approval here",
        place=job,
        hint="see its state: atoll job show; end what was approved: atoll job stop",
    )


def _tables(declared: OwnDeclaration) -> bytes:
    # Without salts and commitments: these differ in each job, and reveal nothing about a table.
    opening = declared.opening
    known = {} if opening is None else opening.tables
    bare = (
        table.model_copy(update={"salt": None, "digest": known.get(step, "")})
        for step, table in declared.tables.items()
    )
    facts = (table.model_dump(mode="json") for table in bare)
    return codec.encode(sorted(facts, key=codec.digest))
