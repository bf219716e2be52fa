"""A simulated node: records, a disk, workers, persons, and a process that can die at any point."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field

from atoll.flow import control
from atoll.flow.control import JobRecord, Moment, Rules
from atoll.flow.control.facts import TaskState
from atoll.flow.control.rules import LOST_LIMIT
from atoll.jobs.plan import ComponentFacts
from tests.flow.control.pair import KEYS, approve, build, check_key, raw, table

DONE = {"success", "reused"}
NETWORK = "ATL-NET-001"
DATA = "ATL-TAB-001"


class Died(Exception):
    """The node's process was killed in the middle of something."""


@dataclass
class Profile:
    """How rough a world is; all are probabilities or seconds."""

    lose: float = 0.2
    crash: float = 0.01
    late: float = 0.1
    task_fails: float = 0.1
    task_fails_for_good: float = 0.02
    task_lost: float = 0.05
    reveals: float = 0.5
    task_hangs: float = 0.01
    task_seconds: float = 20.0
    kill_seconds: float = 0.0
    policy_queues: float = 0.3
    policy_refuses: float = 0.03
    declare_fails: float = 0.01
    person_refuses: float = 0.1
    runs: int = 2


@dataclass
class Truth:
    """What really happened, seen from nowhere: the measure of what the machines may do."""

    starts: set[tuple[str, str, str, int]] = field(default_factory=set)
    alive: dict[tuple[str, str, str], int] = field(default_factory=dict)
    succeeded: set[tuple[str, str, str, int]] = field(default_factory=set)
    approvals: dict[tuple[str, str], list[tuple[str, int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    admitted: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    held: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    # Run in which the last attempt of a task's step began, and whether it was in vain.
    last: dict[tuple[str, str, str], tuple[int, bool]] = field(default_factory=dict)
    runs: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    spent: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    drawn: set[tuple[str, str, str, int]] = field(default_factory=set)

    def start(self, record: JobRecord, step: str, attempt: int) -> None:
        """Check everything that must hold when a task starts anywhere."""
        job, party = record.id, record.party
        task = (party, job, step, attempt)
        assert task not in self.starts, f"{task} ran twice"
        assert (party, job, step) not in self.alive, f"{task} runs beside an earlier attempt"
        assert record.plan is not None
        digest = record.plan.digest()
        offer = record.lead.slot.offer
        for other in record.job.parties:
            runs = [
                first <= record.run < first + runs
                for plan, first, runs in self.approvals[job, other]
                if plan == digest
            ]
            assert any(runs), f"{task} without the approval of {other}"
            assert offer in self.admitted[job, other], f"{task} before {other} was admitted"
            for before in record.proposal.upstream[step]:
                at = record.lead.commands[before].attempt
                done = (other, job, before, at) in self.succeeded
                assert done, f"{task} before {before}/{at} of {other}"
        budget = record.run * (1 + record.options.retries + LOST_LIMIT)
        assert attempt <= budget, f"{task} is one attempt too many"
        self.starts.add(task)
        self.alive[party, job, step] = attempt

    def pay(self, record: JobRecord, step: str) -> None:
        """Check that an attempt after one that was not in vain is among the approved runs."""
        job, party, run = record.id, record.party, record.run
        before, in_vain = self.last.get((party, job, step), (0, True))
        self.runs[job, party].add(run)
        if before == run and not in_vain:
            assert (party, job, step, run) not in self.drawn, f"{job} draws other coins"
            self.spent[job, party] += 1
        allowed = sum(runs for _, _, runs in self.approvals[job, party])
        used = self.spent[job, party] + len(self.runs[job, party])
        assert used <= allowed, f"{step} of {job} at {party} is beyond the approved runs"
        self.last[party, job, step] = (run, True)

    def finish(
        self, party: str, job: str, step: str, attempt: int, state: str, *, revealed: bool = True
    ) -> None:
        """Note that a task is gone."""
        assert self.alive.pop((party, job, step)) == attempt
        if state != "reused":
            run, _ = self.last[party, job, step]
            self.last[party, job, step] = (run, not revealed and state not in DONE)
            if step == "coin toss" and state in DONE:
                self.drawn.add((party, job, step, run))
        if state in DONE:
            self.succeeded.add((party, job, step, attempt))


@dataclass
class Worker:
    """A running task: when it will end, and how."""

    job: str
    step: str
    attempt: int
    ends: float
    state: TaskState
    code: str | None = None
    key: str = ""
    revealed: bool = True


class SimNode:
    """One party's node. ``disk`` survives; everything else dies with the process."""

    def __init__(self, party: str, truth: Truth, draw: random.Random, profile: Profile) -> None:
        self.party, self.truth, self.draw, self.profile = party, truth, draw, profile
        self.limits = control.QueueLimits(1, 1)
        self.rules = Rules(party, check_key, build)
        self.disk: dict[str, JobRecord] = {}
        self.kept: dict[str, list[str]] = {}
        self.ends: dict[str, list[control.Ended]] = defaultdict(list)
        self.wall = 1000.0
        self.up = False
        self.deaths = 0
        self.start()

    def start(self) -> None:
        """Begin a process with what the disk holds; its clock has nothing to do with the last."""
        self.up = True
        self.monotonic = self.draw.uniform(0.0, 1e6)
        self.records: dict[str, JobRecord] = {}
        self.exchanges = {peer: control.PeerSync(peer) for peer in KEYS if peer != self.party}
        self.last_contact: dict[str, float] = {}
        self.queue = control.Queue(self.limits)
        self.workers: list[Worker] = []
        self.inbox: list[tuple[str, control.Event]] = []
        self.reports: list[tuple[str, control.TaskReported]] = []
        for job, record in self.disk.items():
            plain = record.to_plain()
            self.records[job] = JobRecord.from_plain(plain)
            assert self.records[job].to_plain() == plain
            end = self.records[job].end
            if end is not None:
                # As a node's start goes on with what ended jobs have left.
                self.ends[job].append(control.Ended(end.state, end.code, end.party, end.phase))
        # Those that hold slots first, or their slots would be given to others meanwhile.
        for job in sorted(self.records, key=lambda job: not self.records[job].holding):
            self.happen(job, control.Restarted(self.now))

    def die(self) -> None:
        """Kill the process and its workers."""
        self.up = False
        self.deaths += 1
        for worker in self.workers:
            self.truth.finish(self.party, worker.job, worker.step, worker.attempt, "lost")
        self.workers = []

    @property
    def now(self) -> Moment:
        """This process's moment."""
        return Moment(self.monotonic, self.wall)

    def _maybe_die(self) -> None:
        if self.draw.random() < self.profile.crash:
            self.die()
            raise Died

    def happen(self, job: str, event: control.Event) -> None:
        """Step, save, carry out: the process may die between any two of these."""
        if not self.up:
            return
        before = self.records.get(job)
        record, commands = control.step(before, event, self.rules)
        check_growth(before, record)
        if not isinstance(event, control.Tick | control.Progressed):
            self._maybe_die()
        self.records[job] = record
        self.disk[job] = record
        for command in commands:
            if not isinstance(event, control.Restarted):
                self._maybe_die()
            self.carry_out(record, command)

    def carry_out(self, record: JobRecord, command: control.Command) -> None:
        """Do one command; answers come later, through the inbox."""
        job = record.id
        match command:
            case control.Declare():
                self.inbox.append((job, self._declare(command)))
            case control.Decide():
                self._decide(record, command)
            case control.FindReusable():
                found = {s: tuple(self.kept.get(k, [])[:8]) for s, k in command.keys.items()}
                self.inbox.append((job, control.ReusableFound(found, self.now)))
            case control.Enqueue():
                who = command.initiator
                entry = control.Entry(job, command.offer, command.role, who)
                self.queue = control.enqueue(self.queue, entry, held=command.held)
            case control.Release():
                self.queue = control.release(self.queue, job, command.offer)
            case control.StartTask():
                self._check_slot(record)
                self.truth.start(record, command.step, command.attempt)
                self.truth.pay(record, command.step)
                self.workers.append(self._worker(job, command))
            case control.ReuseTask():
                self.truth.start(record, command.step, command.attempt)
                ends = self.monotonic + 1.0
                self.workers.append(Worker(job, command.step, command.attempt, ends, "reused"))
            case control.KillTask():
                self._kill(job, command)
            case control.Ended():
                self._ended(job, command)
            case control.Complain():
                raise AssertionError(f"{self.party} complains without a cause: {command}")
            case control.Publish():
                pass

    def _check_slot(self, record: JobRecord) -> None:
        entry = self.queue.holding.get(record.id)
        offer = record.lead.slot.offer
        assert entry is not None, f"{record.id} runs at {self.party} without a slot"
        assert entry.offer == offer, f"{record.id} runs at {self.party} with an older slot"

    def _kill(self, job: str, command: control.KillTask) -> None:
        for worker in self.workers:
            if (worker.job, worker.step, worker.attempt) == (job, command.step, command.attempt):
                slow = self.draw.uniform(0.0, self.profile.kill_seconds)
                worker.ends = min(self.monotonic + slow, max(worker.ends, self.monotonic))
                worker.state = self.draw.choice(["cancelled", "failed", worker.state])
                worker.code = NETWORK if worker.state == "failed" else None

    def _ended(self, job: str, command: control.Ended) -> None:
        self.ends[job].append(command)
        mine = [worker for worker in self.workers if worker.job == job]
        assert not mine, f"{job} ended at {self.party} while tasks ran"

    def _declare(self, command: control.Declare) -> control.Event:
        if self.draw.random() < self.profile.declare_fails:
            return control.DeclareFailed("ATL-JOB-010", "steps.read", self.now)
        roots = [s for s, step in command.job.steps.items() if not step.inputs]
        tables = {step: table(self.party) for step in roots}
        code = {"synthetic": ComponentFacts(version="1", code="2" * 64)}
        return control.Declared(tables, code, raw(KEYS[self.party].public_key()), self.now)

    def _decide(self, record: JobRecord, command: control.Decide) -> None:
        chance = self.draw.random()
        if chance < self.profile.policy_refuses:
            event = control.Decided("refuse", self.now, code="ATL-FLW-018", run=command.run)
        elif chance < self.profile.policy_refuses + self.profile.policy_queues:
            event = control.Decided("queue", self.now, run=command.run)
        else:
            event = self._signed(record.id, command)
        self.inbox.append((record.id, event))

    def _signed(self, job: str, command: control.Decide) -> control.Decided:
        runs = self.draw.randint(1, self.profile.runs)
        document, signature = approve(command, self.party, runs=runs, expires=1 << 40)
        approval = (command.plan.digest(), command.run, runs)
        self.truth.approvals[job, self.party].append(approval)
        return control.Decided("approve", self.now, document, signature, run=command.run)

    def _worker(self, job: str, command: control.StartTask) -> Worker:
        profile = self.profile
        seconds = self.draw.expovariate(1.0 / profile.task_seconds)
        worker = Worker(job, command.step, command.attempt, self.monotonic + seconds, "success")
        worker.key = command.key
        worker.revealed = self.draw.random() < profile.reveals
        chance = self.draw.random()
        outcomes: tuple[tuple[float, TaskState, str | None], ...] = (
            (profile.task_fails, "failed", NETWORK),
            (profile.task_fails_for_good, "failed", DATA),
            (profile.task_lost, "lost", None),
        )
        for share, state, code in outcomes:
            if chance < share:
                worker.state, worker.code = state, code
                return worker
            chance -= share
        if chance < profile.task_hangs:
            worker.ends = self.monotonic + 1e9
        return worker

    def person(self) -> None:
        """A person decides on what lies on the desk."""
        for job, record in sorted(self.records.items()):
            if not record.queued or control.view(record).state != "awaiting approval":
                continue
            command = control.open_decision(record)
            assert command is not None
            if self.draw.random() < self.profile.person_refuses:
                event = control.Decided("refuse", self.now, code="ATL-FLW-018", run=command.run)
            else:
                event = self._signed(job, command)
            self.happen(job, event)
            return

    def repeat(self) -> None:
        """A worker's last word comes once more."""
        if self.reports:
            job, event = self.draw.choice(self.reports)
            self.happen(job, event)

    def prune(self) -> None:
        """Some outputs of earlier jobs are removed."""
        if self.kept:
            del self.kept[self.draw.choice(sorted(self.kept))]

    def work(self) -> None:
        """Take the inbox in, let tasks end, give slots away."""
        while self.inbox:
            job, event = self.inbox.pop(0)
            self.happen(job, event)
        for worker in [w for w in self.workers if w.ends <= self.monotonic]:
            self.workers.remove(worker)
            task = (worker.job, worker.step, worker.attempt)
            revealed = worker.revealed
            self.truth.finish(self.party, *task, worker.state, revealed=revealed)
            if worker.state == "success" and worker.key:
                origin = f"{worker.job}/{worker.step}/{worker.attempt}"
                self.kept.setdefault(worker.key, []).insert(0, origin)
            event = control.TaskReported(
                worker.step,
                worker.attempt,
                worker.state,
                self.now,
                worker.code,
                revealed=revealed,
            )
            self.reports.append((worker.job, event))
            self.happen(worker.job, event)
        self.queue, granted = control.admit(self.queue)
        for entry in granted:
            self.truth.admitted[entry.job, self.party].add(entry.offer)
            self.happen(entry.job, control.Admitted(entry.offer, self.now))
        for role in ("initiator", "host"):
            held = [entry for entry in self.queue.holding.values() if entry.role == role]
            assert len(held) <= 1, f"{self.party} gave more slots as {role} than it has"

    def pass_time(self, seconds: float) -> None:
        """Let time pass and tick every open job."""
        self.monotonic += seconds
        self.wall += seconds
        for job, record in list(self.records.items()):
            if record.end is None:
                self.happen(job, control.Tick(self.now, dict(self.last_contact)))

    def receive(self, peer: str, data: bytes) -> None:
        """Take a message of a peer in."""
        message = control.parse_sync(data)
        for update in message.updates:
            opens = "proposal" in update.sections and not update.base
            if update.job in self.records or opens:
                self.happen(update.job, control.FactsReceived(peer, update, self.now))
        ahead = self.exchanges[peer].received(message, self.records)
        assert not ahead, f"{peer} holds facts that {self.party} never saved: {ahead}"
        self.last_contact[peer] = self.monotonic

    def message_to(self, peer: str) -> bytes:
        """Return what this node tells a peer now."""
        return control.encode_sync(self.exchanges[peer].message(self.records))


def check_growth(before: JobRecord | None, after: JobRecord) -> None:
    """Check that the own facts only grew, by rules written a second time."""
    if before is None:
        return
    old, new = before.own, after.own
    assert new.version >= old.version
    assert new == old or new.version == old.version + 1
    assert new.run in (old.run, old.run + 1) or not after.drives
    for name in ("proposal", "declaration", "plan"):
        assert getattr(old, name) in (None, getattr(new, name))
    for step, task in old.tasks.items():
        assert new.tasks[step].attempt >= task.attempt
        if new.tasks[step].attempt == task.attempt and task.state not in ("waiting", "running"):
            assert new.tasks[step] == task
    if new.run == old.run:
        for name in ("refusal", "stop", "end"):
            assert getattr(old, name) in (None, getattr(new, name))
        assert old.commands.keys() <= new.commands.keys()
