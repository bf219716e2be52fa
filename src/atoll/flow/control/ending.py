"""The rules for the end: the initiator's verdict, each party's own end, lost parties, new runs."""

from __future__ import annotations

from collections.abc import Mapping

from atoll.core.errors import UserError
from atoll.flow.control.admission import is_started, release
from atoll.flow.control.codes import DROPPED_OUT, NO_ANSWER, PEER_LOST, STOPPED
from atoll.flow.control.commands import Ended
from atoll.flow.control.events import Moment, StopAsked, Tick
from atoll.flow.control.facts import DONE, End, Stop
from atoll.flow.control.parsing import peer_code
from atoll.flow.control.plan_approval import silent_planner
from atoll.flow.control.quorum import expendable, parties_of, satisfied_without, tasks_of
from atoll.flow.control.record import JobRecord
from atoll.flow.control.runs import begin_next
from atoll.flow.control.scheduling import done_steps, verdict
from atoll.flow.control.stalled import watch_others
from atoll.flow.control.tasks import answered
from atoll.flow.control.transition import Transition, halt, stopped
from atoll.flow.control.voiding import void_own
from atoll.flow.planning import COIN_STEP
from atoll.jobs.errors import ConflictError

FALSE_VERDICT = "ATL-FLW-006"
IDLE = "idle "


def conclude(transition: Transition) -> None:
    """Give the verdict, and end the run here once nothing of it is alive."""
    record = transition.record
    found = transition.halted()
    if found is None or record.closed:
        return
    if record.drives:
        verdict(transition, found)
    elif record.own.end is None:
        _follow_end(transition)
    record = transition.record
    if record.own.end is None or record.running:
        return
    release(transition)
    end = record.own.end
    transition.set(closed=True, queued=False, asked=frozenset(), marks={})
    last = {step: command.attempt for step, command in record.lead.commands.items()}
    transition.emit(Ended(end.state, end.code, end.party, end.phase, last))


def _follow_end(transition: Transition) -> None:
    record = transition.record
    if record.lead.run != record.run or record.lead.end is None or record.running:
        return
    end = record.lead.end
    missing = _not_mine(record)
    if (
        end.state == "success"
        and missing
        and all(satisfied_without(record, step, {record.party}) for step in missing)
    ):
        # The run was done without this party, as it may be by the plan.
        first = record.own.tasks.get(missing[0])
        end = End("failed", (first and first.code) or DROPPED_OUT, record.party, missing[0])
    elif end.state == "success" and missing:
        transition.complain(record.initiator, FALSE_VERDICT, "end")
        end = End("failed", FALSE_VERDICT, record.initiator)
    transition.set_facts(end=end)


def _not_mine(record: JobRecord) -> list[str]:
    """Return the steps whose own task did not succeed in the attempt commanded last."""
    found = []
    for step in record.proposal.steps:
        mine = tasks_of(record, step).get(record.party)
        taking = record.party in parties_of(record, step)
        if taking and (mine is None or mine.state not in DONE):
            found.append(step)
    return found


def on_stop(transition: Transition, event: StopAsked) -> None:
    """Ask all parties to end the run, if it is not ending anyhow.

    Who stopped a partner's job, before or after its end, is asked before anything of it runs again.
    """
    if event.kind == "cancel" or event.voids:
        void_own(transition)
    if transition.halted() is None:
        transition.set_facts(stop=Stop(event.kind, peer_code(event.code) or STOPPED, event.party))


def waits_for_time(record: JobRecord, tick: Tick) -> bool:
    """Return whether time alone can change anything now: not where a job only waits for others.

    Where another party proposed the job and it holds no slot, two deadlines are left. Their
    lengths are the proposer's choice, so such jobs cost nothing before they are over.
    """
    if record.closed:
        return False
    if record.holding or record.running:
        return True
    if record.drives:
        return bool(record.marks) or halt(record) is not None
    if halt(record) is None:
        return silent_planner(record, tick) is not None
    if record.own.end is not None or record.lead.end is not None:
        return False
    stopping = record.marks.get("stopping", float("-inf"))
    return tick.now.monotonic - stopping >= record.options.peer_seconds


def tick(transition: Transition, last_contact: Mapping[str, float]) -> None:
    """Find parties that are lost, and end without a verdict that cannot come any more."""
    record = transition.record
    if record.closed:
        return
    if transition.halted() is None:
        if is_started(record):
            transition.mark("watch")
            _watch(transition, last_contact)
            _unanswered(transition)
            watch_others(transition)
            _await_verdict(transition)
            _await_steps(transition)
        else:
            transition.unmark("watch")
    elif not record.drives and record.own.end is None and record.lead.end is None:
        transition.mark("stopping")
        # An initiator that is there gives its verdict at once; one that communicates but gives
        # none, or whose facts cannot be read, must not keep this party.
        if transition.since("stopping") >= record.options.peer_seconds:
            _end_alone(transition)


def silence(
    transition: Transition, party: str, last_contact: Mapping[str, float], mark: str
) -> float:
    """Return for how many seconds a party has sent nothing, at most since a mark."""
    begun = transition.record.marks.get(mark, transition.now.monotonic)
    return transition.now.monotonic - max(begun, last_contact.get(party, begun))


def _watch(transition: Transition, last_contact: Mapping[str, float]) -> None:
    for party in transition.record.peers:
        record = transition.record
        if party in record.gone:
            continue
        if silence(transition, party, last_contact, "watch") < record.options.peer_seconds:
            continue
        if not expendable(record, party):
            transition.stop(PEER_LOST, party=party)
            return
        if record.drives:
            transition.set(gone=record.gone | {party})


def _unanswered(transition: Transition) -> None:
    """End a job of which a party neither starts nor refuses a commanded task."""
    record = transition.record
    if not record.drives:
        return
    done = done_steps(record)
    for step in sorted(record.own.commands.keys() - done):
        missing = parties_of(record, step) - tasks_of(record, step).keys()
        transition.mark(f"command {step}")
        if not missing or transition.since(f"command {step}") < record.options.progress_seconds:
            continue
        if all(expendable(record, party) for party in missing):
            transition.set(gone=transition.record.gone | missing)
        else:
            transition.stop(NO_ANSWER, party=min(missing), phase=step)
            return


def _await_verdict(transition: Transition) -> None:
    """Stop a run whose initiator does not end it, though a step failed here for good."""
    record = transition.record
    step = answered(record)
    if step is None or transition.halted() is not None:
        return
    transition.mark("answered")
    if transition.since("answered") >= record.options.peer_seconds:
        task = record.own.tasks[step]
        transition.stop(task.code or STOPPED, phase=f"{step}: {task.phase}" if task.phase else step)


def _await_steps(transition: Transition) -> None:
    """Stop a started run of a partner in which nothing goes on: it holds a slot of this node.

    That steps run elsewhere counts once the coins are tossed here, as an honest run begins. If
    something began here, connections may be lost for as long as the proposal says.
    """
    record = transition.record
    if record.drives or not record.holding or transition.halted() is not None:
        return
    done = _done_elsewhere(record)
    name = f"{IDLE}{0 if done is None else done}"
    stale = [mark for mark in record.marks if mark.startswith(IDLE)]
    if record.running or done is None:
        transition.unmark(*stale)
        return
    transition.unmark(*(mark for mark in stale if mark != name))
    transition.mark(name)
    limit = transition.rules.times.host
    if record.begun == record.run:
        limit = max(limit, record.options.peer_seconds)
    if min(transition.since(name), _since_own(transition)) >= limit:
        transition.stop(NO_ANSWER, party=record.initiator)


def _since_own(transition: Transition) -> float:
    marked = "progress" in transition.record.marks
    return transition.since("progress") if marked else float("inf")


def _done_elsewhere(record: JobRecord) -> int | None:
    """Return a number that grows with what others state to have done; None: something runs there.

    Zero before the coins are tossed here, whatever they state.
    """
    toss = record.own.tasks.get(COIN_STEP)
    if toss is None or toss.state not in DONE:
        return 0
    tasks = [
        task
        for step in record.lead.commands
        for party, task in tasks_of(record, step).items()
        if party != record.party
    ]
    if any(task.state == "running" for task in tasks):
        return None
    return sum(task.attempt for task in tasks if task.state in DONE)


def _end_alone(transition: Transition) -> None:
    record = transition.record
    mine = record.own.stop
    if mine is not None and _not_mine(record):
        transition.set_facts(end=stopped(mine, record.party))
    else:
        transition.set_facts(end=End("failed", PEER_LOST, record.initiator))


def ask_again(transition: Transition, rerun: frozenset[str], now: Moment) -> None:
    """Begin the next run: keep what is done but for the steps ``rerun`` and all below them.

    Errors: ATL-FLW-013 not the initiator's job, not ended, refused, or nothing to do.
    """
    record = transition.record
    end = record.end
    if not record.drives:
        raise not_now("only the party that submitted a job can run it again")
    if end is None or end.state == "refused":
        raise not_now("only a job that has ended, and was not refused, can be run again")
    again = set(rerun)
    for step in record.proposal.steps:
        if record.proposal.upstream[step] & again:
            again.add(step)
    keep = {s: record.own.commands[s] for s in done_steps(record) if s not in again}
    if len(keep) == len(record.proposal.steps):
        raise not_now("every step is done")
    begin_next(transition, keep)
    transition.set(fresh=frozenset(again))


def not_now(reason: str, hint: str | None = None) -> UserError:
    """Return the error for a job that cannot be run again (like this)."""
    return ConflictError("ATL-FLW-013", f"the job cannot be run again: {reason}", hint=hint)
