"""Takes a newer version of a party's document in, if it only grew. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from atoll.core.errors import PeerError
from atoll.flow.control.codes import TWO_PROPOSALS
from atoll.flow.control.facts import BROKEN, DONE, JobDocument, StepCommand, TaskFact
from atoll.flow.control.reading import read_section
from atoll.flow.control.sync import Update

_RANK = {"waiting": 0, "running": 1}


def merge(held: JobDocument, update: Update, *, initiator: bool) -> JobDocument | None:
    """Return the newer document, or None if the update builds on one that is not held or is old.

    Errors: ATL-FLW-001 malformed, ATL-FLW-002 it went back, ATL-FLW-003 another proposal.
    """
    if update.version <= held.version or update.base > held.version:
        return None
    values = {name: read_section(name, data) for name, data in update.sections.items()}
    newer = replace(held, version=update.version, **values)
    _check_roles(held, newer, initiator)
    _check_settled(held, newer)
    _check_counters(held, newer)
    _check_commands(held, newer)
    _check_tasks(held.tasks, newer.tasks, newer.party)
    return newer


def _back(facts: JobDocument, what: str) -> PeerError:
    return PeerError(
        "ATL-FLW-002",
        "a party took back what it had sent of a job",
        party=facts.party,
        place=what,
    )


def _check_roles(held: JobDocument, newer: JobDocument, initiator: bool) -> None:
    slot = newer.slot
    if newer.proposal is not None and not initiator and not held.version:
        # Either may have taken the other's id: the first to arrive here need not be the honest one.
        raise PeerError(TWO_PROPOSALS, "two parties proposed a job of this id", party=newer.party)
    leads = newer.commands or newer.proposal or slot.offer or slot.withdrawn or slot.started
    if leads and not initiator:
        raise PeerError(
            "ATL-FLW-005", "only the initiator proposes and commands", party=newer.party
        )


def _check_settled(held: JobDocument, newer: JobDocument) -> None:
    if held.proposal is not None and newer.proposal != held.proposal:
        raise PeerError(
            "ATL-FLW-003", "the proposal of a job was changed after it was made", party=newer.party
        )
    for name in ("declaration", "plan"):
        before = getattr(held, name)
        if before is not None and getattr(newer, name) != before:
            raise _back(newer, name)
    approval = newer.approval
    if held.approval is not None and approval != held.approval:
        later = approval is not None and approval.run > held.approval.run
        if not later:
            raise _back(newer, "approval")
    if newer.run == held.run:
        for name in ("refusal", "stop", "end"):
            before = getattr(held, name)
            if before is not None and getattr(newer, name) != before:
                raise _back(newer, name)


def _check_counters(held: JobDocument, newer: JobDocument) -> None:
    if newer.run < held.run:
        raise _back(newer, "run")
    for name in ("offer", "withdrawn", "started", "admitted", "released"):
        if getattr(newer.slot, name) < getattr(held.slot, name):
            raise _back(newer, f"slot.{name}")
    slot = newer.slot
    if slot.withdrawn > slot.offer or slot.started > slot.offer or slot.released > slot.admitted:
        raise _back(newer, "slot")


def _check_commands(held: JobDocument, newer: JobDocument) -> None:
    if newer.commands is held.commands:
        return
    for step, before in held.commands.items():
        after = newer.commands.get(step)
        if after is None:
            if newer.run == held.run:
                raise _back(newer, f"commands.{step}")
        elif not _grew(before, after):
            raise _back(newer, f"commands.{step}")


def _grew(before: StepCommand, after: StepCommand) -> bool:
    return after.attempt > before.attempt or after == before


def _check_tasks(held: Mapping[str, TaskFact], newer: Mapping[str, TaskFact], party: str) -> None:
    if newer is held:
        return
    for step, before in held.items():
        after = newer.get(step)
        if after is None or not _moved_on(before, after):
            raise PeerError(
                "ATL-FLW-002",
                "a party took back what it had sent of a job",
                party=party,
                place=f"tasks.{step}",
            )


def _moved_on(before: TaskFact, after: TaskFact) -> bool:
    if after.attempt != before.attempt:
        return after.attempt > before.attempt
    ended = before.state in DONE or before.state in BROKEN
    if ended:
        return after == before
    return _RANK.get(after.state, 2) >= _RANK[before.state]


def opening(update: Update, sender: str, party: str) -> JobDocument:
    """Return the first facts of an unknown job, from its initiator.

    Errors: ATL-FLW-001 malformed, ATL-FLW-004 there is no proposal, or it lists not both parties.
    """
    values: dict[str, Any] = {n: read_section(n, d) for n, d in update.sections.items()}
    proposal = values.get("proposal")
    if update.base or proposal is None or not {sender, party} <= proposal.job.parties.keys():
        raise PeerError(
            "ATL-FLW-004",
            "facts of a job that is not known here",
            party=sender,
            hint="they count once its initiator has proposed it to all parties",
        )
    return JobDocument(job=update.job, party=sender, version=update.version, **values)
