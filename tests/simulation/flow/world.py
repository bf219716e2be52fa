"""A seeded world: some nodes, some jobs, faults for a while, then calm. A seed is a history."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

from atoll.flow import control
from atoll.flow.control import JobRecord, Options
from atoll.jobs.errors import ConflictError
from tests.flow.control.pair import PARTIES, make_job
from tests.simulation.flow.nodes import Died, Profile, SimNode, Truth

GRAPHS: list[dict[str, list[str]]] = [
    {"read": []},
    {"read": [], "match": ["read"]},
    {"read": [], "left": ["read"], "right": ["read"], "join": ["left", "right"]},
    {"read": [], "also": []},
]
STEPS = 120
CALM_ROUNDS = 400
CUT_ROUNDS = 180


class SimWorld:
    """Nodes, messages in the air and the dice. The seed decides everything."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        draw = self.draw
        self.truth = Truth()
        self.profile = Profile(
            lose=draw.choice([0.0, 0.2, 0.5]),
            crash=draw.choice([0.0, 0.002, 0.02]),
            late=draw.choice([0.0, 0.2]),
            task_fails=draw.choice([0.0, 0.1, 0.3]),
            task_lost=draw.choice([0.0, 0.1, 0.3]),
            task_seconds=draw.choice([1.0, 20.0]),
            policy_queues=draw.choice([0.0, 0.5]),
            kill_seconds=draw.choice([0.0, 20.0]),
            runs=draw.choice([1, 2, 9]),
        )
        # Some partitions are for good, and some users never leave a job alone.
        self.forever = draw.random() < 0.05
        self.restless = draw.choice([1, 8])
        count = draw.choice([2, 3])
        self.parties = PARTIES[:count]
        self.nodes = {p: SimNode(p, self.truth, draw, self.profile) for p in self.parties}
        self.late: list[tuple[str, str, bytes]] = []
        self.cut: set[frozenset[str]] = set()
        self.jobs = 0
        self.history: list[str] = []

    def play(self) -> None:
        """Live through the faults, then the calm, and check how everything ended."""
        self.submit()
        for _ in range(self.draw.randint(STEPS // 4, STEPS)):
            self.one()
        self.calm()

    def one(self) -> None:
        """Do one random thing."""
        moves: list[tuple[Callable[[], None], int]] = [
            (self.sync_two, 40),
            (self.work, 30),
            (self.time, 15),
            (self.person, 4),
            (self.submit, 3),
            (self.restart, 6),
            (self.deliver_late, 4),
            (self.stop, 1),
            (self.again, 2 * self.restless),
            (self.repeat, 2),
            (self.prune, 1),
            (self.kill, 1 if self.profile.crash else 0),
            (self.jump, 1),
            (self.part, 1 if self.profile.lose else 0),
            (self.cut.clear, 2),
        ]
        move = self.draw.choices([m for m, _ in moves], [w for _, w in moves])[0]
        self.history.append(str(getattr(move, "__name__", move)))
        move()

    def any_node(self) -> SimNode | None:
        """Return a node that is up."""
        up = [node for node in self.nodes.values() if node.up]
        return self.draw.choice(up) if up else None

    def guarded(self, work: Callable[[], None]) -> None:
        """Do something in which the node may die."""
        try:
            work()
        except Died:
            self.history.append("died")

    def submit(self) -> None:
        """A user submits a job at some node."""
        node = self.any_node()
        if node is None or self.jobs >= 4:
            return
        self.jobs += 1
        job_id = f"20300102030405-{self.jobs:08x}"
        options = Options(
            retries=self.draw.randint(0, 2),
            step_rule=self.draw.choice(["parallel", "serial", "cost_first"]),
            progress_seconds=120.0,
            reuse=self.draw.random() < 0.7,
        )
        job = make_job(len(self.parties), self.draw.choice(GRAPHS))
        nonce = self.draw.randbytes(32)
        event = control.Submitted(job_id, job, options, nonce, node.now)
        self.guarded(lambda: node.happen(job_id, event))

    def sync_two(self) -> None:
        """One node syncs with another; request or response may be lost, repeated or late."""
        one, other = self.draw.sample(list(self.nodes.values()), 2)
        self.sync(one, other, self.profile.lose)

    def sync(self, one: SimNode, other: SimNode, lose: float) -> None:
        """Exchange facts between two nodes."""
        if not one.up or frozenset({one.party, other.party}) in self.cut:
            return
        request = one.message_to(other.party)
        if self.draw.random() < self.profile.late:
            self.late.append((one.party, other.party, request))
        if not other.up or self.draw.random() < lose:
            return
        for _ in range(2 if self.draw.random() < 0.1 else 1):
            self.guarded(lambda: other.receive(one.party, request))
        if not other.up or self.draw.random() < lose:
            return
        response = other.message_to(one.party)
        self.guarded(lambda: one.receive(other.party, response))

    def deliver_late(self) -> None:
        """A request of long ago arrives; its response finds nobody."""
        if self.late:
            sender, to, data = self.late.pop(self.draw.randrange(len(self.late)))
            if self.nodes[to].up:
                self.guarded(lambda: self.nodes[to].receive(sender, data))

    def work(self) -> None:
        """A node does what is due."""
        node = self.any_node()
        if node is not None:
            self.guarded(node.work)

    def time(self, seconds: float | None = None) -> None:
        """Time passes everywhere."""
        passed = self.draw.choice([0.5, 1, 1, 5, 10, 30]) if seconds is None else seconds
        for node in self.nodes.values():
            if node.up:
                self.guarded(lambda node=node: node.pass_time(passed))  # type: ignore[misc]

    def person(self) -> None:
        """Somebody approves or refuses."""
        node = self.any_node()
        if node is not None:
            self.guarded(node.person)

    def any_job(self) -> tuple[SimNode, JobRecord] | None:
        """Return some job at some node."""
        node = self.any_node()
        if node is None or not node.records:
            return None
        return node, self.draw.choice(list(node.records.values()))

    def stop(self) -> None:
        """A person at any party stops a job."""
        found = self.any_job()
        if found is not None:
            node, record = found
            event = control.StopAsked("cancel", "ann", node.now)
            self.guarded(lambda: node.happen(record.id, event))

    def again(self) -> None:
        """The initiator's user runs an ended job again."""
        found = self.any_job()
        if found is None:
            return
        node, record = found
        steps = [None, *record.proposal.steps]
        event: control.Event = control.RetryAsked(node.now)
        if self.draw.random() < 0.5:
            event = control.RerunAsked(self.draw.choice(steps), node.now)
        try:
            self.guarded(lambda: node.happen(record.id, event))
        except ConflictError:
            self.history.append("not now")

    def kill(self) -> None:
        """A node is killed between two things."""
        node = self.any_node()
        if node is not None:
            node.die()

    def restart(self) -> None:
        """A node that is down comes up again."""
        down = [node for node in self.nodes.values() if not node.up]
        if down:
            self.guarded(self.draw.choice(down).start)

    def jump(self) -> None:
        """A node's wall clock jumps; its monotonic clock does not."""
        node = self.any_node()
        if node is not None:
            node.wall += self.draw.uniform(-500.0, 5000.0)

    def repeat(self) -> None:
        """Something that a worker said is heard again."""
        node = self.any_node()
        if node is not None:
            self.guarded(node.repeat)

    def prune(self) -> None:
        """A node removes outputs that could have been reused."""
        node = self.any_node()
        if node is not None:
            node.prune()

    def part(self) -> None:
        """Two nodes cannot reach each other until somebody mends it."""
        self.cut.add(frozenset(self.draw.sample(self.parties, 2)))

    def calm(self) -> None:
        """No more faults: everything must come to an end, and soon."""
        for name in ("crash", "lose", "late", "policy_refuses", "person_refuses"):
            setattr(self.profile, name, 0.0)
        self.cut.clear()
        if self.forever:
            self.part()
        for node in self.nodes.values():
            if not node.up:
                node.start()
        for count in range(CUT_ROUNDS if self.forever else CALM_ROUNDS):
            self.time(1.0 if count < CALM_ROUNDS // 4 else 5.0)
            for node in self.nodes.values():
                node.person()
                node.work()
            for one, other in itertools.combinations(self.nodes.values(), 2):
                self.sync(one, other, 0.0)
            if self.over():
                break
        if self.forever:
            self.check_cut()
        else:
            self.check()

    def check_cut(self) -> None:
        """Check that with parties apart for good no job hangs between start and end."""
        for node in self.nodes.values():
            for record in node.records.values():
                state = control.view(record).state
                assert state != "running", f"{record.id} runs for ever at {node.party}"
                assert record.end is None or not node.workers
                if state == "success":
                    self.check_success(record)

    def over(self) -> bool:
        """Return whether every job has ended everywhere, and everyone knows."""
        if self.forever:
            return False
        for node in self.nodes.values():
            for record in node.records.values():
                if record.end is None or record.run < record.lead.run:
                    return False
                for peer, exchange in node.exchanges.items():
                    if peer in record.job.parties and not exchange.settled(record):
                        return False
        return True

    def check(self) -> None:
        """Check the ends: everywhere one, everywhere the same, and true."""
        for node in self.nodes.values():
            for record in node.records.values():
                assert record.end is not None, f"{node.party} {control.view(record)}"
                assert node.ends[record.id], f"{record.id} ended at {node.party} untold"
                assert not node.queue.holding, f"{node.party} holds slots for nothing"
        for job in {job for node in self.nodes.values() for job in node.records}:
            self.check_job([node.records[job] for node in self.nodes.values()])

    def check_job(self, records: list[JobRecord]) -> None:
        """Check one job over all parties."""
        ends = {(r.end.state, r.end.code) for r in records if r.end is not None}
        lost = any(code == "ATL-FLW-008" for _, code in ends)
        assert len(ends) == 1 or lost, f"{records[0].id} ended as {ends}"
        for record in records:
            if record.end is not None and record.end.state == "success":
                self.check_success(record)

    def check_success(self, record: JobRecord) -> None:
        """Check that what is called a success is one: every task, everywhere, in one attempt."""
        assert len(record.lead.commands) == len(record.proposal.steps)
        for step, command in record.lead.commands.items():
            for party in record.job.parties:
                task = (party, record.id, step, command.attempt)
                assert task in self.truth.succeeded, f"a success without {task}"


def play(seed: int) -> SimWorld:
    """Live through the history of a seed. Raises AssertionError naming the seed."""
    world = SimWorld(seed)
    try:
        world.play()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    return world
