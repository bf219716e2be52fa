"""The initiator's rules: which step is commanded next, what is tried again, and the verdict."""

from __future__ import annotations

from atoll.flow.control.admission import going
from atoll.flow.control.codes import DROPPED_OUT, LOST_TOO_OFTEN, PEER_FAILED
from atoll.flow.control.facts import BROKEN, DONE, End, StepCommand, TaskFact
from atoll.flow.control.parsing import told_phase
from atoll.flow.control.record import JobRecord
from atoll.flow.control.reuse import candidate, choose
from atoll.flow.control.rules import LOST_LIMIT, STEP_RULES, may_retry, ready_steps
from atoll.flow.control.staying import broken as broken_of
from atoll.flow.control.staying import holds_without, is_done, parties_of, tasks_of
from atoll.flow.control.turn import Turn

# What follows from another's fault, or from an earlier step: it is named where nothing else is.
_ECHOES = frozenset({PEER_FAILED, DROPPED_OUT})


def done_steps(record: JobRecord) -> frozenset[str]:
    """Return the steps that are done at their parties."""
    return frozenset(step for step in record.lead.commands if is_done(record, step))


def verdict(turn: Turn, end: End) -> None:
    """Say how the run ends; only the initiator does."""
    if turn.record.own.end is None:
        turn.tell(end=end)


def schedule(turn: Turn) -> None:
    """Drive the job on: try broken steps again, command those that are ready, end it."""
    record = turn.record
    if not record.drives or turn.halted() is not None or not going(record):
        return
    done = done_steps(record)
    for step in sorted(record.own.commands.keys() - done):
        _mend(turn, step)
        if turn.halted() is not None:
            return
    record = turn.record
    steps = record.proposal.steps
    if len(done) == len(steps):
        verdict(turn, End("success"))
        return
    ready = ready_steps(steps, record.proposal.upstream, done, frozenset(record.own.commands))
    _command(turn, ready, busy=len(record.own.commands.keys() - done))


def _command(turn: Turn, ready: tuple[str, ...], busy: int) -> None:
    options, plan = turn.record.options, turn.record.plan
    costs = plan.estimated_bytes if plan is not None else {}
    for step in STEP_RULES[options.step_rule](ready, busy, costs):
        made = None
        if candidate(turn.record, step):
            answered, made = choose(turn.record, step)
            if not answered:
                turn.mark(f"reuse {step}")
                if turn.since(f"reuse {step}") < turn.rules.times.reuse:
                    continue
        turn.unmark(f"reuse {step}")
        attempt = turn.record.fences.get(step, 0) + 1
        _issue(turn, step, StepCommand(attempt, "reuse" if made else "start", made))


def _issue(turn: Turn, step: str, command: StepCommand) -> None:
    turn.tell(commands={**turn.record.own.commands, step: command})
    turn.set(fences={**turn.record.fences, step: command.attempt})
    turn.mark(f"command {step}", again=True)


def _mend(turn: Turn, step: str) -> None:
    record = turn.record
    tasks = tasks_of(record, step)
    broken = broken_of(tasks)
    if not broken or len(tasks) < len(parties_of(record, step)):
        return
    if holds_without(record, step, broken):
        return
    if any(task.state not in BROKEN and task.state not in DONE for task in tasks.values()):
        return
    failed = {party: task for party, task in broken.items() if task.state == "failed"}
    final = {party: task for party, task in failed.items() if not may_retry(task.code)}
    if final:
        _give_up(turn, step, final)
    elif len(failed) < len(broken) and any(t.state != "failed" for t in broken.values()):
        _again_lost(turn, step, failed, broken)
    else:
        _again_failed(turn, step, failed)


def _again_lost(
    turn: Turn, step: str, failed: dict[str, TaskFact], broken: dict[str, TaskFact]
) -> None:
    gone = any(task.state == "lost" for task in broken.values())
    if not gone and failed:
        _again_failed(turn, step, failed)
        return
    count = turn.record.lost.get(step, 0) + 1
    if count > LOST_LIMIT:
        party = min(p for p, task in broken.items() if task.state != "failed")
        verdict(turn, End("failed", LOST_TOO_OFTEN, party, step))
        return
    turn.set(lost={**turn.record.lost, step: count})
    _issue(turn, step, StepCommand(turn.record.fences[step] + 1))


def _again_failed(turn: Turn, step: str, failed: dict[str, TaskFact]) -> None:
    count = turn.record.retried.get(step, 0) + 1
    if count > turn.record.options.retries:
        _give_up(turn, step, failed)
        return
    turn.set(retried={**turn.record.retried, step: count})
    _issue(turn, step, StepCommand(turn.record.fences[step] + 1))


def _give_up(turn: Turn, step: str, failed: dict[str, TaskFact]) -> None:
    # That a peer failed is what the others saw; why it did is what counts.
    party = min(failed, key=lambda name: (failed[name].code in _ECHOES, name))
    task = failed[party]
    phase = f"{step}: {task.phase}" if task.phase else step
    verdict(turn, End("failed", task.code, party, told_phase(phase)))
