"""Nodes in one thread: records, exchanges and a hand that carries out commands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from atoll.core.errors import PeerError
from atoll.flow import control
from atoll.flow.control import JobRecord, Moment, Options, Rules
from atoll.flow.control.facts import TaskState
from atoll.jobs import approval as approvals
from atoll.jobs.approval import PublicKey
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import ComponentFacts, Plan, TableFacts

JOB_ID = "20300102030405-0123abcd"
PARTIES = ("bank", "shop", "post")
# The same in every process: recorded histories hold what these keys signed.
KEYS = {
    name: ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    for name in PARTIES
}
NONCE = bytes(range(32))


def raw(key: ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def check_key(party: str, certificate: bytes) -> PublicKey:
    if certificate != raw(KEYS[party].public_key()):
        raise PeerError("ATL-PLN-002", "not the pinned key", party=party)
    return KEYS[party].public_key()


def make_job(
    parties: int = 2, steps: Mapping[str, list[str]] | None = None, component: str = "synthetic"
) -> Job:
    """A job of a graph: step → the steps that it takes inputs from."""
    graph = steps if steps is not None else {"read": [], "match": ["read"], "count": ["match"]}
    return parse_job(
        {
            "name": "synthetic",
            "parties": {name: "guest" if name == "bank" else "host" for name in PARTIES[:parties]},
            "steps": {
                step: {
                    "component": component,
                    "inputs": {f"in{at}": f"{source}.out" for at, source in enumerate(sources)},
                }
                for step, sources in graph.items()
            },
        }
    )


def table(name: str, digest: str = "1" * 64) -> TableFacts:
    return TableFacts(name=name, digest=digest, rows=7, columns=("a",), id_rule="bytes")


def code_of(job: Job) -> dict[str, ComponentFacts]:
    names = {step.component for step in job.steps.values()}
    return {name: ComponentFacts(version="1", code="2" * 64) for name in sorted(names)}


def build(
    job: Job, tables: Mapping[str, Mapping[str, TableFacts]], keys: Mapping[str, str]
) -> Plan:
    return Plan(
        job=job,
        parameters={name: {} for name in job.steps},
        tables={party: dict(entry) for party, entry in tables.items()},
        components=code_of(job),
        implementations=dict.fromkeys(job.steps, "local"),
        trust_models={},
        reveals={},
        minimums={},
        certificates=dict(keys),
        estimated_bytes={name: 100 * at for at, name in enumerate(sorted(job.steps))},
        owners={},
    )


def approve(
    command: control.Decide, party: str, *, runs: int = 1, expires: int = 10_000
) -> tuple[bytes, bytes]:
    entry = approvals.make(command.plan, party, nonce=command.nonce, expires=expires, runs=runs)
    document = entry.encode()
    return document, approvals.sign(document, KEYS[party])


Policy = Callable[[control.Decide], control.Decided]
Commands = tuple[control.Command, ...]
# Party, the record before, the event, the record after and what is to be done.
Watch = Callable[[str, JobRecord | None, control.Event, JobRecord, Commands], None]


class Node:
    """One party's node: its records, and what it does on each command."""

    def __init__(self, party: str, limits: control.QueueLimits | None = None) -> None:
        self.party = party
        self.rules = Rules(party, check_key, build)
        self.records: dict[str, JobRecord] = {}
        self.exchanges = {peer: control.PeerSync(peer) for peer in PARTIES if peer != party}
        self.queue = control.Queue(limits or control.QueueLimits())
        self.now = Moment(0.0, 1000.0)
        self.last_contact: dict[str, float] = {}
        self.done: list[control.Command] = []
        self.inbox: list[tuple[str, control.Event]] = []
        self.runs = 1
        self.checked = False
        # Whether something has left in an attempt that is killed.
        self.reveals = False
        self.policy: Policy | None = None
        self.watch: Watch | None = None
        self.table_digest = "1" * 64
        self.store: dict[str, list[str]] = {}
        self.task: Callable[[control.StartTask], control.TaskReported | None] = self.succeed

    @property
    def record(self) -> JobRecord:
        return self.records[JOB_ID]

    def submit(self, job: Job, job_id: str = JOB_ID, **options: Any) -> None:
        self.happen(job_id, control.Submitted(job_id, job, Options(**options), NONCE, self.now))

    def happen(self, job: str, event: control.Event) -> tuple[control.Command, ...]:
        before = self.records.get(job)
        record, commands = control.step(before, event, self.rules)
        if self.watch is not None:
            self.watch(self.party, before, event, record, commands)
        if self.checked:
            plain = record.to_plain()
            assert JobRecord.from_plain(plain).to_plain() == plain
        self.records[job] = record
        self.done += commands
        for command in commands:
            self.carry_out(job, command)
        while self.inbox:
            self.happen(*self.inbox.pop(0))
        return commands

    def carry_out(self, job: str, command: control.Command) -> None:
        answer: control.Event | None = None
        match command:
            case control.Declare():
                digest = raw(KEYS[self.party].public_key())
                roots = [s for s, step in command.job.steps.items() if not step.inputs]
                tables = {step: table(self.party, self.table_digest) for step in roots}
                answer = control.Declared(tables, code_of(command.job), digest, self.now)
            case control.Decide():
                answer = self.decide(command)
            case control.FindReusable():
                keys = {s: self.own_key(job, s, key) for s, key in command.keys.items()}
                found = {s: tuple(self.store.get(key, [])) for s, key in keys.items()}
                answer = control.ReusableFound(found, self.now)
            case control.Enqueue():
                entry = control.Entry(job, command.offer, command.role, command.initiator)
                self.queue = control.enqueue(self.queue, entry, held=command.held)
            case control.Release():
                self.queue = control.release(self.queue, job, command.offer, command.used)
            case control.StartTask():
                answer = self.task(command)
                if answer is not None and answer.state == "success" and command.key:
                    origin = f"{job}/{command.step}/{command.attempt}"
                    key = self.own_key(job, command.step, command.key)
                    self.store.setdefault(key, []).insert(0, origin)
            case control.ReuseTask():
                answer = control.TaskReported(command.step, command.attempt, "reused", self.now)
            case control.KillTask():
                answer = control.TaskReported(
                    command.step, command.attempt, "cancelled", self.now, revealed=self.reveals
                )
            case _:
                pass
        if answer is not None:
            self.inbox.append((job, answer))

    def own_key(self, job: str, step: str, key: str) -> str:
        """Return a key with what this node alone knows: the content of its table."""
        brought = step in self.records[job].plan.tables.get(self.party, {})  # type: ignore[union-attr]
        return f"{key} {self.table_digest}" if brought else key

    def report(
        self, step: str, state: TaskState, code: str | None = None, *, revealed: bool = False
    ) -> None:
        """Let a task that was left running end."""
        attempt = self.record.running[step]
        event = control.TaskReported(step, attempt, state, self.now, code, revealed=revealed)
        self.happen(JOB_ID, event)

    def started(self) -> list[tuple[str, int]]:
        """Return the tasks that were started here, in order."""
        return [(c.step, c.attempt) for c in self.done if isinstance(c, control.StartTask)]

    def forge(self, **sections: Any) -> None:
        """Publish what an honest node would not."""
        record = self.record
        version = record.version + 1
        own = replace(record.own, version=version, **sections)
        since = {**record.since, **dict.fromkeys(sections, version)}
        facts = {**record.facts, self.party: own}
        self.records[JOB_ID] = replace(record, facts=facts, since=since)

    def restart(self) -> None:
        """Kill the process and start it again with what was saved."""
        self.exchanges = {peer: control.PeerSync(peer) for peer in PARTIES if peer != self.party}
        self.queue = control.Queue(self.queue.limits)
        self.last_contact = {}
        self.now = Moment(5.0, self.now.wall)
        for job, record in list(self.records.items()):
            self.records[job] = JobRecord.from_plain(json.loads(json.dumps(record.to_plain())))
            self.happen(job, control.Restarted(self.now))

    @property
    def shown(self) -> tuple[str, str | None]:
        """State and reason of the job here."""
        found = control.view(self.record)
        return found.state, found.reason

    @property
    def end(self) -> tuple[str, str | None, str | None]:
        """State, code and party of the end here."""
        found = control.view(self.record)
        return found.state, found.code, found.party

    def decide(self, command: control.Decide) -> control.Decided:
        if self.policy is not None:
            return self.policy(command)
        document, signature = approve(command, self.party, runs=self.runs)
        return control.Decided("approve", self.now, document, signature, run=command.run)

    def succeed(self, command: control.StartTask) -> control.TaskReported | None:
        return control.TaskReported(command.step, command.attempt, "success", self.now)

    def admit(self) -> None:
        self.queue, granted = control.admit(self.queue)
        for entry in granted:
            self.happen(entry.job, control.Admitted(entry.offer, self.now))

    def receive(self, peer: str, data: bytes) -> None:
        message = control.parse_sync(data)
        for update in message.updates:
            if update.job not in self.records and "proposal" not in update.sections:
                continue
            self.happen(update.job, control.FactsReceived(peer, update, self.now))
        for job in self.exchanges[peer].received(message, self.records):
            self.happen(job, control.StaleRecord(peer, message.held[job], self.now))
        self.last_contact[peer] = self.now.monotonic

    def message_to(self, peer: str) -> bytes:
        return control.encode_sync(self.exchanges[peer].message(self.records))

    def tick(self) -> None:
        for job in list(self.records):
            self.happen(job, control.Tick(self.now, dict(self.last_contact)))

    def states(self) -> dict[str, str]:
        return {job: control.view(record).state for job, record in self.records.items()}


def sync(one: Node, other: Node) -> None:
    other.receive(one.party, one.message_to(other.party))
    one.receive(other.party, other.message_to(one.party))


class World:
    """Some nodes that all talk, as long as ``cut`` does not name a pair of them."""

    def __init__(self, parties: int = 2, limits: control.QueueLimits | None = None) -> None:
        self.nodes = {name: Node(name, limits) for name in PARTIES[:parties]}
        self.cut: set[frozenset[str]] = set()

    def approving(self, runs: int) -> World:
        """Let every node approve so many runs."""
        for node in self.nodes.values():
            node.runs = runs
        return self

    def __getitem__(self, party: str) -> Node:
        return self.nodes[party]

    def round(self, seconds: float = 0.0) -> None:
        """Let time pass, tick, admit and sync every pair once."""
        names = sorted(self.nodes)
        for node in self.nodes.values():
            now = node.now
            node.now = Moment(now.monotonic + seconds, now.wall + seconds)
            node.tick()
            node.admit()
        for at, one in enumerate(names):
            for other in names[at + 1 :]:
                if frozenset({one, other}) not in self.cut:
                    sync(self.nodes[one], self.nodes[other])

    def ends(self) -> set[tuple[str, str | None]]:
        """Return how the job ended, over all nodes."""
        return {node.end[:2] for node in self.nodes.values()}

    def rounds(self, count: int = 20, seconds: float = 0.0) -> None:
        for _ in range(count):
            self.round(seconds)
