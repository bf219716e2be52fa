"""The initiator's rules: which step is commanded next, what is tried again, and the verdict."""

from __future__ import annotations

from atoll.flow.control.admission import going
from atoll.flow.control.codes import DROPPED_OUT, LOST_TOO_OFTEN, PEER_FAILED, TOSS_ENDED
from atoll.flow.control.facts import BROKEN, DONE, End, StepCommand, TaskFact
from atoll.flow.control.parsing import peer_phase
from atoll.flow.control.quorum import broken as broken_of
from atoll.flow.control.quorum import is_done, parties_of, satisfied_without, tasks_of
from atoll.flow.control.record import JobRecord
from atoll.flow.control.reuse import candidate, choose
from atoll.flow.control.rules import LOST_LIMIT, STEP_RULES, drawn, may_retry, ready_steps
from atoll.flow.control.runs import begin_next
from atoll.flow.control.transition import Transition
from atoll.flow.planning import COIN_STEP

# What follows from another's fault, or from an earlier step: it is named where nothing else is.
_CONSEQUENCES = frozenset({PEER_FAILED, DROPPED_OUT})


def done_steps(record: JobRecord) -> frozenset[str]:
    """Return the steps that are done at their parties."""
    return frozenset(step for step in record.lead.commands if is_done(record, step))


def verdict(transition: Transition, end: End) -> None:
    """Set how the run ends; only the initiator does."""
    if transition.record.own.end is None:
        transition.set_facts(end=end)


def schedule(transition: Transition) -> None:
    """Drive the job on: try broken steps again, command those that are ready, end it."""
    record = transition.record
    if not record.drives or transition.halted() is not None or not going(record):
        return
    done = done_steps(record)
    for step in sorted(record.own.commands.keys() - done):
        _retry_broken(transition, step)
        if transition.halted() is not None or transition.record.run != record.run:
            return
    record = transition.record
    steps = record.proposal.steps
    if len(done) == len(steps):
        verdict(transition, End("success"))
        return
    ready = ready_steps(steps, record.proposal.upstream, done, frozenset(record.own.commands))
    _command(transition, ready, busy=len(record.own.commands.keys() - done))


def _command(transition: Transition, ready: tuple[str, ...], busy: int) -> None:
    options, plan = transition.record.options, transition.record.plan
    costs = plan.estimated_bytes if plan is not None else {}
    for step in STEP_RULES[options.step_rule](ready, busy, costs):
        made = None
        if candidate(transition.record, step):
            answered, made = choose(transition.record, step)
            if not answered:
                transition.mark(f"reuse {step}")
                if transition.since(f"reuse {step}") < transition.rules.times.reuse:
                    continue
        transition.unmark(f"reuse {step}")
        attempt = transition.record.fences.get(step, 0) + 1
        _issue(transition, step, StepCommand(attempt, "reuse" if made else "start", made))


def _issue(transition: Transition, step: str, command: StepCommand) -> None:
    transition.set_facts(commands={**transition.record.own.commands, step: command})
    transition.set(fences={**transition.record.fences, step: command.attempt})
    transition.mark(f"command {step}", again=True)


def _retry_broken(transition: Transition, step: str) -> None:
    record = transition.record
    tasks = tasks_of(record, step)
    broken = broken_of(tasks)
    if not broken or len(tasks) < len(parties_of(record, step)):
        return
    if satisfied_without(record, step, broken):
        return
    if any(task.state not in BROKEN and task.state not in DONE for task in tasks.values()):
        return
    failed = {party: task for party, task in broken.items() if task.state == "failed"}
    final = {party: task for party, task in failed.items() if not may_retry(task.code)}
    if final:
        _give_up(transition, step, final)
    elif step == COIN_STEP and len(broken) < len(tasks) and drawn(record.job):
        _toss_in_next_run(transition, min(broken))
    elif len(failed) < len(broken) and any(t.state != "failed" for t in broken.values()):
        _again_lost(transition, step, failed, broken)
    else:
        _again_failed(transition, step, failed)


def _toss_in_next_run(transition: Transition, broken: str) -> None:
    """Toss other coins in the next run, if that is approved: who knows them draws none in this."""
    record = transition.record
    mine = record.approved.get(record.party)
    if mine is not None and mine.covers(record.run + 1, record.spent):
        begin_next(transition, {})
    else:
        verdict(transition, End("failed", TOSS_ENDED, broken, COIN_STEP))


def _again_lost(
    transition: Transition, step: str, failed: dict[str, TaskFact], broken: dict[str, TaskFact]
) -> None:
    gone = any(task.state == "lost" for task in broken.values())
    if not gone and failed:
        _again_failed(transition, step, failed)
        return
    count = transition.record.lost.get(step, 0) + 1
    if count > LOST_LIMIT:
        party = min(p for p, task in broken.items() if task.state != "failed")
        verdict(transition, End("failed", LOST_TOO_OFTEN, party, step))
        return
    transition.set(lost={**transition.record.lost, step: count})
    _issue(transition, step, StepCommand(transition.record.fences[step] + 1))


def _again_failed(transition: Transition, step: str, failed: dict[str, TaskFact]) -> None:
    count = transition.record.retried.get(step, 0) + 1
    if count > transition.record.options.retries:
        _give_up(transition, step, failed)
        return
    transition.set(retried={**transition.record.retried, step: count})
    _issue(transition, step, StepCommand(transition.record.fences[step] + 1))


def _give_up(transition: Transition, step: str, failed: dict[str, TaskFact]) -> None:
    # That a peer failed is what the others saw; why it did is what counts.
    party = min(failed, key=lambda name: (failed[name].code in _CONSEQUENCES, name))
    task = failed[party]
    phase = f"{step}: {task.phase}" if task.phase else step
    verdict(transition, End("failed", task.code, party, peer_phase(phase)))
