"""Asynchronous training: the aggregator steps whenever a buffer of updates is full.

Clients train without waiting for each other, on the weights of when they began. Sources: Nguyen et
al., "Federated Learning with Buffered Asynchronous Aggregation" (AISTATS 2022), algorithm 1; Xie,
Koyejo, Gupta 2019 (FedAsync), for the weights by staleness.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.core.errors import UserError
from atoll.core.random import PublicRandom
from atoll.learning.horizontal.algorithm import Algorithm, State, Vectors, wrapped
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.postprocess.api import Postprocessor, Stage
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.power_sgd import PowerSGD
from atoll.learning.horizontal.simulation import Task
from atoll.learning.horizontal.timed import VANISHED, TimedClients
from atoll.learning.horizontal.training import Answers, Callback, Round, driven

STALE = "ATL-HOR-049"
TRIES = 64
_MESSAGE, _FLIGHTS, _ORDER = "message", "flight", "flight.order"
_COLUMNS = ("flight.finish", "flight.turn", "flight.number", "flight.version", "flight.lost")


class FedBuff(BaseModel):
    """``concurrency`` clients train at any time; the aggregator steps after ``buffer`` updates.

    An update that began s steps ago is scaled by a weight that falls with s, while its own weight
    in the mean stays whole, so stale ones shorten the step; one of more than ``most_stale`` is
    dropped. ``buffer`` 1 is FedAsync, with the client's change in place of its weights. Each update
    reaches the aggregator by itself or in a sum of the buffer's; privacy is not amplified, since
    the fast take part more often.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int = Field(default=100, ge=1, le=1 << 16, description="clients at work")
    buffer: int = Field(default=10, ge=1, le=1 << 16, description="updates of one step")
    staleness: Literal["equal", "polynomial", "hinge"] = Field(
        default="polynomial", description="how weights fall with the steps since a client began"
    )
    exponent: float = Field(default=0.5, ge=0, le=10, description="polynomial: (1 + s)^-exponent")
    grace: int = Field(default=10, ge=0, le=1 << 16, description="hinge: steps of weight 1")
    slope: float = Field(
        default=0.5, gt=0, le=100, description="hinge: 1 / (slope·(s - grace) + 1)"
    )
    most_stale: int = Field(default=100, ge=0, le=1 << 20, description="steps; older are dropped")
    pause: float = Field(default=60.0, gt=0, le=1e6, description="seconds until the next try")

    def weight(self, steps: int) -> float:
        """Return what an update weighs that began so many steps ago, 1 for none."""
        if self.staleness == "polynomial":
            return float((1 + steps) ** -self.exponent)
        if self.staleness == "hinge":
            return 1 / (self.slope * max(0, steps - self.grace) + 1)
        return 1.0


@dataclass(order=True, frozen=True)
class Flight:
    """A turn under way: it ends at ``finish``; of two at once the earlier begun comes first."""

    finish: float
    turn: int
    number: int
    version: int
    lost: bool


@dataclass
class Flights:
    """The turns under way, and the messages that they began with (by the step that made them)."""

    heap: list[Flight] = field(default_factory=list)
    messages: dict[int, Vectors] = field(default_factory=dict)
    turns: int = 0
    draws: int = 0

    def prune(self) -> None:
        """Forget messages that no turn under way began with."""
        used = {flight.version for flight in self.heap}
        self.messages = {v: m for v, m in self.messages.items() if v in used}

    def saved(self) -> Vectors:
        """Return all of it as vectors, for a checkpoint."""
        self.prune()
        rows = [(f.finish, f.turn, f.number, f.version, f.lost) for f in sorted(self.heap)]
        table = np.array(rows, dtype=np.float64).reshape(-1, len(_COLUMNS))
        vectors: dict[str, Vector] = dict(zip(_COLUMNS, table.T.copy(), strict=True))
        for version, message in self.messages.items():
            vectors |= {f"{_MESSAGE}.{version}.{name}": v for name, v in message.items()}
        return {**vectors, _ORDER: np.array([self.turns, self.draws], dtype=np.float64)}

    def restore(self, vectors: Vectors) -> None:
        """Take over what ``saved`` returned."""
        rows = zip(*(vectors[name].tolist() for name in _COLUMNS), strict=True)
        self.heap = [Flight(t, int(o), int(n), int(v), bool(gone)) for t, o, n, v, gone in rows]
        heapq.heapify(self.heap)
        self.turns, self.draws = map(int, vectors[_ORDER].tolist())
        self.messages = {}
        for key, vector in vectors.items():
            kind, _, rest = key.partition(".")
            version, _, name = rest.partition(".")
            if kind == _MESSAGE:
                self.messages.setdefault(int(version), {})
                self.messages[int(version)] = {**self.messages[int(version)], name: vector}


@dataclass(frozen=True)
class AsynchronousTraining:
    """Training without rounds: each of ``rounds`` steps takes the next full buffer.

    Callbacks see each step as a round, whose ``seconds`` are those since the step before. The
    schedule follows from the traces alone, and a buffer's turns are trained together, added in the
    order in which they arrived: any number of threads gives the same bits. Errors of ``run``:
    ATL-HOR-030 no client answered, ATL-HOR-039 flights of a later state, ATL-HOR-045 a
    postprocessor that needs common rounds, ATL-HOR-114 an algorithm that needs single updates.
    """

    algorithm: Algorithm
    plan: FedBuff
    rounds: int
    flights: Flights = field(default_factory=Flights)

    def run(
        self,
        state: State,
        clients: TimedClients,
        public: PublicRandom,
        callbacks: Sequence[Callback] = (),
    ) -> State:
        """Return the state after the last step. A callback that returns True ends the training.

        ``state`` and ``flights`` may come from a checkpoint.
        """
        _require_no_rounds(clients.clients.chain, self.algorithm)
        require_sums(self.algorithm)
        if any(flight.version > state.round for flight in self.flights.heap):
            raise UserError("ATL-HOR-039", "turns under way began after the state that resumes")
        return driven(state, self.rounds, lambda at: self._step(at, clients, public), callbacks)

    def _step(self, state: State, clients: TimedClients, public: PublicRandom) -> Round:
        began = clients.clock.now()
        tasks, failures = self._fill(state, clients, public)
        answers = clients.clients.work(tasks, state.round)
        failures = {**failures, **answers.failures}
        seconds = clients.clock.now() - began
        answers = replace(answers, failures=failures, seconds=seconds)
        self.flights.prune()
        after = self._after(state, answers)
        return Round(state.round, len(tasks), answers, after, failed=answers.total is None)

    def _after(self, state: State, answers: Answers) -> State:
        if answers.total is None:
            return state.next()
        return self.algorithm.aggregate(state, answers.total.check())

    def _fill(
        self, state: State, clients: TimedClients, public: PublicRandom
    ) -> tuple[list[Task], dict[int, str]]:
        """Let time pass until a buffer is full, and return its turns in the order of arrival."""
        tasks: list[Task] = []
        failures: dict[int, str] = {}
        self.flights.messages[state.round] = self.algorithm.message(state)
        # A step that no client fills ends as a failed one, so that none waits for ever.
        for _ in range(TRIES * (self.plan.buffer + self.plan.concurrency)):
            if len(tasks) == self.plan.buffer:
                break
            taken = {task.number for task in tasks}
            self._launch(state.round, clients, public, taken)
            if not self.flights.heap:
                if len(tasks) == clients.registered:
                    break
                clients.clock.advance_to(clients.clock.now() + self.plan.pause)
                continue
            flight = heapq.heappop(self.flights.heap)
            clients.clock.advance_to(flight.finish)
            stale = state.round - flight.version
            if flight.lost or stale > self.plan.most_stale:
                failures[flight.number] = VANISHED if flight.lost else STALE
                continue
            message, scale = self.flights.messages[flight.version], self.plan.weight(stale)
            tasks.append(Task(flight.number, flight.turn, message, scale=scale))
        return tasks, failures

    def _launch(
        self, version: int, clients: TimedClients, public: PublicRandom, taken: set[int]
    ) -> None:
        """Begin turns until as many are under way as may be, or no client is found."""
        flights, now = self.flights, clients.clock.now()
        busy = {flight.number for flight in flights.heap} | taken
        while len(flights.heap) < self.plan.concurrency and len(busy) < clients.registered:
            generator = public.generator("horizontal", flights.draws, "participation")
            flights.draws += 1
            number = self._free(clients, busy, generator)
            if number is None:
                return
            timing = clients.timing(number, flights.turns, now, flights.messages[version])
            lost = timing.lost < math.inf
            end = now + (timing.lost if lost else timing.arrives)
            heapq.heappush(flights.heap, Flight(end, flights.turns, number, version, lost))
            flights.turns += 1
            busy.add(number)

    def _free(
        self, clients: TimedClients, busy: set[int], generator: np.random.Generator
    ) -> int | None:
        """Return a client that may begin now, each such one equally likely, or None."""
        if clients.registered <= TRIES:
            drawn = generator.permutation(clients.registered)
        else:
            drawn = generator.integers(0, clients.registered, TRIES)
        for at in range(len(drawn)):
            number = int(drawn[at])
            if number not in busy and clients.eligible(drawn[at : at + 1])[0]:
                return number
        return None


def require_sums(algorithm: Algorithm) -> None:
    """Refuse an algorithm that needs single updates. Errors: ATL-HOR-114."""
    if algorithm.separate:
        raise UserError(
            "ATL-HOR-114",
            f"{type(algorithm).__name__} needs each client's update as it is, and asynchronous "
            "training scales those that are late",
            hint="train in rounds; with a limit and partial work none waits for the slow",
        )


def _require_no_rounds(chain: Chain, algorithm: Algorithm) -> None:
    """Refuse what undoes at the aggregator what all clients of one round do alike."""
    found: list[Algorithm | Postprocessor] = [
        link
        for link in chain.links
        if link.stage == Stage.MASK or type(link).aggregate is not Postprocessor.aggregate
    ]
    for part in (*found, *wrapped(algorithm)):
        if isinstance(part, PowerSGD) or part in found:
            raise UserError(
                "ATL-HOR-045",
                f"{type(part).__name__} needs clients of one round, which asynchronous ones lack",
                hint="use a postprocessor that works on each update by itself, or train in rounds",
            )
