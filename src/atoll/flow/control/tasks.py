"""Every party's rules for its own tasks: start what was rightly commanded, end what is over."""

from __future__ import annotations

from atoll.flow.control.admission import going, open_offer
from atoll.flow.control.codes import DROPPED_OUT, EXPIRED, NO_PROGRESS, NODE_RESTARTED
from atoll.flow.control.commands import KillTask, ReuseTask, StartTask
from atoll.flow.control.events import TaskReported
from atoll.flow.control.facts import BROKEN, DONE, StepCommand, TaskFact
from atoll.flow.control.parsing import told_code, told_phase
from atoll.flow.control.record import JobRecord
from atoll.flow.control.reuse import reuse_key, told_key
from atoll.flow.control.rules import LOST_LIMIT
from atoll.flow.control.staying import (
    broken,
    dropped_out,
    enough_done,
    holds_without,
    parties_of,
    tasks_of,
)
from atoll.flow.control.turn import Turn

WRONG_COMMAND = "ATL-FLW-005"


def work(turn: Turn) -> None:
    """End tasks that are over, start those that were commanded and may start."""
    for step, attempt in turn.record.running.items():
        if _is_over(turn, step, attempt):
            kill(turn, step)
    if turn.halted() is not None or turn.record.lead.run != turn.record.run:
        return
    for step, command in turn.record.lead.commands.items():
        own = turn.record.own.tasks.get(step)
        mine = turn.record.party in parties_of(turn.record, step)
        if mine and (own is None or own.attempt < command.attempt):
            _consider(turn, step, command)


def _is_over(turn: Turn, step: str, attempt: int) -> bool:
    record = turn.record
    if turn.halted() is not None:
        return True
    command = record.lead.commands.get(step)
    if command is None or command.attempt != attempt:
        return True
    return not holds_without(record, step, broken(tasks_of(record, step)))


def kill(turn: Turn, step: str) -> None:
    """End a running task; asked for once, and again by ``tick`` while it is alive."""
    if step not in turn.record.killing:
        turn.set(killing=turn.record.killing | {step})
        turn.give(KillTask(step, turn.record.running[step]))
        turn.mark("killed", again=True)


def _consider(turn: Turn, step: str, command: StepCommand) -> None:
    record = turn.record
    if step in record.running:
        return
    if dropped_out(record, step):
        _state(turn, step, TaskFact(command.attempt, "failed", DROPPED_OUT))
        return
    wrong = _wrong(record, step, command)
    if wrong is not None:
        turn.complain(record.initiator, WRONG_COMMAND, wrong)
        return
    if not holds_without(record, step, broken(tasks_of(record, step))):
        _state(turn, step, TaskFact(command.attempt, "cancelled"))
        return
    if not going(record):
        return
    if not all(enough_done(record, before) for before in record.proposal.upstream[step]):
        return
    if not _still_approved(turn):
        return
    _start(turn, step, command)


def _wrong(record: JobRecord, step: str, command: StepCommand) -> str | None:
    """Say what makes a command one that an honest initiator cannot give, judged by own facts."""
    if step not in record.proposal.upstream:
        return f"commands.{step}: no such step"
    budget = record.run * (1 + record.options.retries + LOST_LIMIT)
    if command.attempt > budget:
        return f"commands.{step}: an attempt beyond the allowed ones"
    if _was_done(record, step):
        return f"commands.{step}: done in this run"
    mine = record.approved.get(record.party)
    if mine is None or not mine.covers(record.run):
        return f"commands.{step}: before this party's approval"
    offer = open_offer(record.lead.slot)
    if not record.drives and (not offer or record.own.slot.admitted != offer):
        return f"commands.{step}: before this party's admission"
    for before in record.proposal.upstream[step]:
        if record.party not in parties_of(record, before):
            continue
        earlier = record.lead.commands.get(before)
        own = record.own.tasks.get(before)
        if earlier is None or own is None or own.attempt != earlier.attempt:
            return f"commands.{step}: before its inputs"
        if own.state not in DONE:
            return f"commands.{step}: before its inputs"
    if command.action == "reuse":
        held = record.own.reusable.get(step)
        fits = held is not None and held.key == told_key(record, step)
        if held is None or not fits or command.origin not in held.origins:
            return f"commands.{step}: outputs that this party does not hold"
    return None


def _was_done(record: JobRecord, step: str) -> bool:
    """Tell whether the last attempt of a step succeeded everywhere, in the present run.

    Each attempt reveals something, so an initiator may not have one more than it needs.
    """
    own = record.own.tasks.get(step)
    if own is None or own.attempt <= record.earlier.get(step, 0):
        return False
    taking = parties_of(record, step)
    told = {party: facts.tasks.get(step) for party, facts in record.facts.items()}
    done = {
        party
        for party, task in told.items()
        if task is not None and task.attempt == own.attempt and task.state in DONE
    }
    return record.party in done and holds_without(record, step, taking - done)


def _still_approved(turn: Turn) -> bool:
    """Check the approvals' expiry at the first start of a run; after that the run goes on."""
    record = turn.record
    if record.begun == record.run:
        return True
    for party, approved in record.approved.items():
        if approved.expires <= turn.now.wall:
            turn.stop(EXPIRED, party=party, phase="agreement")
            return False
    turn.set(begun=record.run)
    return True


def _start(turn: Turn, step: str, command: StepCommand) -> None:
    key = reuse_key(turn.record, step) or ""
    turn.set(running={**turn.record.running, step: command.attempt})
    _state(turn, step, TaskFact(command.attempt, "running"))
    turn.mark("progress", again=True)
    if command.action == "reuse" and command.origin is not None:
        turn.give(ReuseTask(step, command.attempt, command.origin, key))
    else:
        turn.give(StartTask(step, command.attempt, key))


def _state(turn: Turn, step: str, task: TaskFact) -> None:
    turn.tell(tasks={**turn.record.own.tasks, step: task})


def on_reported(turn: Turn, event: TaskReported) -> None:
    """Take the end of a task in; a report of another attempt is stale and changes nothing."""
    record = turn.record
    if record.running.get(event.step) != event.attempt:
        return
    if event.state not in DONE and event.state not in BROKEN:
        return
    killed = event.step in record.killing
    turn.set(
        running={s: a for s, a in record.running.items() if s != event.step},
        killing=record.killing - {event.step},
    )
    turn.mark("progress", again=True)
    own = record.own.tasks.get(event.step)
    if own is None or own.attempt != event.attempt or own.state != "running":
        return
    if killed and event.state not in DONE:
        _state(turn, event.step, TaskFact(event.attempt, "cancelled"))
    else:
        code, phase = told_code(event.code), told_phase(event.phase)
        fact = TaskFact(event.attempt, event.state, code, phase)
        _state(turn, event.step, fact)


def on_restarted(turn: Turn) -> None:
    """Whatever ran here before the restart is lost; another attempt may follow."""
    record = turn.record
    tasks = dict(record.own.tasks)
    for step, attempt in record.running.items():
        own = tasks.get(step)
        if own is not None and own.attempt == attempt and own.state == "running":
            tasks[step] = TaskFact(attempt, "lost", NODE_RESTARTED)
    if record.running:
        turn.set(running={}, killing=frozenset())
        turn.tell(tasks=tasks)


def tick(turn: Turn) -> None:
    """End tasks without progress, and repeat kills that nobody confirmed."""
    record = turn.record
    if record.killing and turn.since("killed") >= turn.rules.times.kill:
        turn.mark("killed", again=True)
        for step in sorted(record.killing):
            turn.give(KillTask(step, record.running[step]))
    alive = record.running.keys() - record.killing
    if not alive:
        return
    turn.mark("progress")
    if turn.since("progress") < record.options.progress_seconds:
        return
    for step in sorted(alive):
        _state(turn, step, TaskFact(record.running[step], "failed", NO_PROGRESS))
        kill(turn, step)
