"""Every party's rules for its own tasks: start what was rightly commanded, end what is over."""

from __future__ import annotations

from atoll.flow.control.admission import going, open_offer
from atoll.flow.control.codes import (
    DROPPED_OUT,
    EXPIRED,
    NO_PROGRESS,
    NODE_RESTARTED,
    RUNS_USED,
)
from atoll.flow.control.commands import Explain, KillTask, ReuseTask, StartTask
from atoll.flow.control.events import TaskReported
from atoll.flow.control.facts import BROKEN, DONE, StepCommand, TaskFact
from atoll.flow.control.parsing import peer_code, peer_phase
from atoll.flow.control.quorum import (
    broken,
    dropped_out,
    enough_done,
    parties_of,
    satisfied_without,
    tasks_of,
)
from atoll.flow.control.record import JobRecord
from atoll.flow.control.reuse import blinded_key, reuse_key
from atoll.flow.control.rules import LOST_LIMIT, STEPS_AT_ONCE, drawn, may_retry
from atoll.flow.control.runs import leaving
from atoll.flow.control.transition import Transition
from atoll.flow.planning import COIN_STEP

WRONG_COMMAND = "ATL-FLW-005"


def work(transition: Transition) -> None:
    """End tasks that are over, start those that were commanded and may start."""
    for step, attempt in transition.record.running.items():
        if _is_over(transition, step, attempt):
            kill(transition, step)
    if transition.halted() is not None:
        _reveal_no_end(transition)
        return
    record = transition.record
    if leaving(record) or answered(record) is not None:
        return
    if left_off(record) is not None:
        _take_no_more_part(transition)
        return
    for step, command in transition.record.lead.commands.items():
        own = transition.record.own.tasks.get(step)
        mine = transition.record.party in parties_of(transition.record, step)
        if mine and (own is None or own.attempt < command.attempt):
            _consider(transition, step, command)


def answered(record: JobRecord) -> str | None:
    """Return the step whose failure is this party's last answer in the run; None: there is none.

    How a step ends may depend on data. An honest initiator ends the run by the first one that fails
    for good, so one that commands more steps learns nothing of how these end. The initiator
    itself commands none.
    """
    return _failed_for_good(record, let_off=False)


def left_off(record: JobRecord) -> str | None:
    """Return the step that failed here for good in the run and is done without this party.

    It is this party's last answer, too: others go on with the run by the quorum, and this party
    begins nothing more in it, or each further step would show how it ends.
    """
    return _failed_for_good(record, let_off=True)


def _failed_for_good(record: JobRecord, *, let_off: bool) -> str | None:
    if record.drives:
        return None
    for step, task in record.own.tasks.items():
        fresh = task.attempt > record.earlier.get(step, 0)
        final = fresh and task.state == "failed" and not may_retry(task.code)
        # That follows from an earlier step is no answer of its own.
        if final and let_off and task.code == DROPPED_OUT:
            continue
        if final and satisfied_without(record, step, {record.party}) == let_off:
            return step
    return None


def _take_no_more_part(transition: Transition) -> None:
    """State the same of all that runs or is commanded here, whatever would come of it."""
    record = transition.record
    for step, task in record.own.tasks.items():
        if task.state == "running":
            _state(transition, step, TaskFact(task.attempt, "cancelled"))
    for step, command in record.lead.commands.items():
        own = transition.record.own.tasks.get(step)
        mine = record.party in parties_of(record, step)
        if mine and step not in record.running and (own is None or own.attempt < command.attempt):
            _state(transition, step, TaskFact(command.attempt, "failed", DROPPED_OUT))


def _reveal_no_end(transition: Transition) -> None:
    """State that tasks were cancelled which ended after the last answer, in whatever way."""
    record = transition.record
    for step, task in record.own.tasks.items():
        if task.state == "running" and step not in record.running:
            _state(transition, step, TaskFact(task.attempt, "cancelled"))


def _is_over(transition: Transition, step: str, attempt: int) -> bool:
    record = transition.record
    if transition.halted() is not None or answered(record) is not None or leaving(record):
        return True
    if left_off(record) is not None:
        return True
    command = record.lead.commands.get(step)
    if command is None or command.attempt != attempt:
        return True
    return not satisfied_without(record, step, broken(tasks_of(record, step)))


def kill(transition: Transition, step: str) -> None:
    """End a running task; asked for once, and again by ``tick`` while it is alive."""
    if step not in transition.record.killing:
        transition.set(killing=transition.record.killing | {step})
        transition.emit(KillTask(step, transition.record.running[step]))
        transition.mark("killed", again=True)


def _consider(transition: Transition, step: str, command: StepCommand) -> None:
    record = transition.record
    if step in record.running:
        return
    if dropped_out(record, step):
        _state(transition, step, TaskFact(command.attempt, "failed", DROPPED_OUT))
        return
    wrong = _wrong(record, step, command)
    if wrong is not None:
        transition.complain(record.initiator, WRONG_COMMAND, wrong)
        return
    if not satisfied_without(record, step, broken(tasks_of(record, step))):
        _state(transition, step, TaskFact(command.attempt, "cancelled"))
        return
    if not going(record):
        return
    if not record.drives and len(record.running) >= STEPS_AT_ONCE:
        # No honest initiator commands more; each that runs may yet answer.
        return
    if not all(enough_done(record, before) for before in record.proposal.upstream[step]):
        return
    if not _still_approved(transition):
        return
    if _spends(record, step, command) and not record.may_spend:
        _refuse(transition, step, command)
        return
    _start(transition, step, command)


def _spends(record: JobRecord, step: str, command: StepCommand) -> bool:
    """Return whether an attempt takes an approved run: one before it was not in vain."""
    return command.action == "start" and step in record.exposed


def _refuse(transition: Transition, step: str, command: StepCommand) -> None:
    """Let an attempt fail for which no approved run is left."""
    text = f"another attempt of {step} takes an approved run, and none is left"
    hint = "submit the job again; policy.runs states how many runs an approval here is for"
    transition.emit(Explain(RUNS_USED, text, place=step, hint=hint))
    _state(transition, step, TaskFact(command.attempt, "failed", RUNS_USED))


def allowed_attempts(record: JobRecord, step: str) -> int:
    """Return how many attempts a step may have in a run, by the plan that was signed."""
    signed = {} if record.plan is None else record.plan.attempts
    # Plans from before attempts were in them.
    return signed.get(step, 1 + record.options.retries + LOST_LIMIT)


def _wrong(record: JobRecord, step: str, command: StepCommand) -> str | None:
    """Return why an honest initiator cannot give a command, judged by own facts."""
    if step not in record.proposal.upstream:
        return f"commands.{step}: no such step"
    again = _repeated(record, step, command)
    if again is not None:
        return f"commands.{step}: {again}"
    if not record.covered:
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
        fits = held is not None and held.key == blinded_key(record, step)
        if held is None or not fits or command.origin not in held.origins:
            return f"commands.{step}: outputs that this party does not hold"
    return None


def _repeated(record: JobRecord, step: str, command: StepCommand) -> str | None:
    """Return why a step may not be attempted once more, whatever became of the last time."""
    most = allowed_attempts(record, step)
    if command.attempt > record.run * most or record.tried.get(step, 0) >= most:
        return "an attempt beyond the allowed ones"
    if _was_done(record, step):
        return "done in this run"
    if step == COIN_STEP and drawn(record.job) and _ended_well(record, step):
        return "it ended in this run, and is not drawn again"
    return None


def _was_done(record: JobRecord, step: str) -> bool:
    """Return whether the last attempt of a step succeeded everywhere, in the present run.

    Each attempt reveals something, so an initiator may not have one more than it needs.
    """
    own = record.own.tasks.get(step)
    if own is None or not _ended_well(record, step):
        return False
    taking = parties_of(record, step)
    published = {party: facts.tasks.get(step) for party, facts in record.facts.items()}
    done = {
        party
        for party, task in published.items()
        if task is not None and task.attempt == own.attempt and task.state in DONE
    }
    return record.party in done and satisfied_without(record, step, taking - done)


def _ended_well(record: JobRecord, step: str) -> bool:
    """Return whether the own task of a step has ended well in the present run."""
    own = record.own.tasks.get(step)
    return own is not None and own.state in DONE and own.attempt > record.earlier.get(step, 0)


def _still_approved(transition: Transition) -> bool:
    """Check the approvals' expiry at the first start of a run; after that the run goes on."""
    record = transition.record
    if record.begun == record.run:
        return True
    for party, approved in record.approved.items():
        if approved.expires <= transition.now.wall:
            transition.stop(EXPIRED, party=party, phase="agreement")
            return False
    transition.set(begun=record.run)
    return True


def _start(transition: Transition, step: str, command: StepCommand) -> None:
    key = reuse_key(transition.record, step) or ""
    transition.set(running={**transition.record.running, step: command.attempt})
    _state(transition, step, TaskFact(command.attempt, "running"))
    transition.mark("progress", again=True)
    record = transition.record
    transition.set(tried={**record.tried, step: record.tried.get(step, 0) + 1})
    if command.action == "reuse" and command.origin is not None:
        transition.emit(ReuseTask(step, command.attempt, command.origin, key))
        return
    spends = _spends(record, step, command)
    transition.set(exposed=record.exposed - {step}, spent=record.spent + spends)
    transition.emit(StartTask(step, command.attempt, key, spends))


def _expose(
    transition: Transition, step: str, state: str, *, revealed: bool, code: str | None = None
) -> None:
    """Note what became of an own attempt that is over, for whoever commands another one."""
    record, plan = transition.record, transition.record.plan
    sends = plan is not None and bool(plan.peers_of(step, record.party))
    if step == COIN_STEP:
        sends = sends and drawn(record.job)
    left = sends and revealed and state != "reused"
    # An end by another code than one of the network may depend on data, so it is an answer, too.
    answered = state == "failed" and not may_retry(code)
    if left or answered or state == "success":
        transition.set(exposed=record.exposed | {step})
    if left and step == COIN_STEP and state not in DONE:
        transition.set(aborted=record.aborted + 1)


def _state(transition: Transition, step: str, task: TaskFact) -> None:
    transition.set_facts(tasks={**transition.record.own.tasks, step: task})


def on_reported(transition: Transition, event: TaskReported) -> None:
    """Take the end of a task in; a report of another attempt is stale and changes nothing."""
    record = transition.record
    if record.running.get(event.step) != event.attempt:
        return
    if event.state not in DONE and event.state not in BROKEN:
        return
    killed, silent = event.step in record.killing, answered(record) is not None
    _expose(transition, event.step, event.state, revealed=event.revealed, code=event.code)
    transition.set(
        running={s: a for s, a in record.running.items() if s != event.step},
        killing=record.killing - {event.step},
    )
    transition.mark("progress", again=True)
    own = record.own.tasks.get(event.step)
    if own is None or own.attempt != event.attempt or own.state != "running" or silent:
        return
    if killed and event.state not in DONE:
        _state(transition, event.step, TaskFact(event.attempt, "cancelled"))
    else:
        code, phase = peer_code(event.code), peer_phase(event.phase)
        fact = TaskFact(event.attempt, event.state, code, phase)
        _state(transition, event.step, fact)


def on_restarted(transition: Transition) -> None:
    """Whatever ran here before the restart is lost; another attempt may follow."""
    record = transition.record
    tasks = dict(record.own.tasks)
    for step, attempt in record.running.items():
        _expose(transition, step, "lost", revealed=True)
        own = tasks.get(step)
        if own is not None and own.attempt == attempt and own.state == "running":
            tasks[step] = TaskFact(attempt, "lost", NODE_RESTARTED)
    if record.running:
        transition.set(running={}, killing=frozenset())
        transition.set_facts(tasks=tasks)


def tick(transition: Transition) -> None:
    """End tasks without progress, and repeat kills that no one confirmed."""
    record = transition.record
    if record.killing and transition.since("killed") >= transition.rules.times.kill:
        transition.mark("killed", again=True)
        for step in sorted(record.killing):
            transition.emit(KillTask(step, record.running[step]))
    alive = record.running.keys() - record.killing
    if not alive:
        return
    transition.mark("progress")
    if transition.since("progress") < record.options.progress_seconds:
        return
    for step in sorted(alive):
        _state(transition, step, TaskFact(record.running[step], "failed", NO_PROGRESS))
        kill(transition, step)
