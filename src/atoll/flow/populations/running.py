"""Trains a population's model: serves its members round by round, and resumes after a kill."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.channel.identity.certificates import present
from atoll.channel.identity.files import write_atomic
from atoll.core.clock import SystemClock
from atoll.core.errors import CancelledError, UserError
from atoll.core.random import PublicRandom, SecretRandom
from atoll.flow.populations.folder import CHECKPOINT, LOCK, MODEL, Population
from atoll.flow.populations.limits import LimitRules
from atoll.flow.populations.server import PopulationServer
from atoll.flow.store.lock import FileLock
from atoll.learning.horizontal.algorithm import State
from atoll.learning.horizontal.asynchronous import FedBuff
from atoll.learning.horizontal.callbacks import Checkpoint, Progress, RoundFigures
from atoll.learning.horizontal.population.attendance import RoundRules
from atoll.learning.horizontal.population.buffered import Buffer
from atoll.learning.horizontal.population.clients import MOST_UPDATE_BYTES, OutboundClients
from atoll.learning.horizontal.population.coordinator import Coordinator
from atoll.learning.horizontal.population.drawing import AmongPresent, require_draw
from atoll.learning.horizontal.population.stepping import (
    BufferedClients,
    BufferedTraining,
    require_buffer,
)
from atoll.learning.horizontal.population.work import PopulationWork
from atoll.learning.horizontal.rounds import Closing
from atoll.learning.horizontal.training import Callback, Round, Training
from atoll.models.network.part import NetworkPart, encode

_TICK = 0.5
Draw = Literal["all", "uniform", "poisson", "weighted", "power-of-choice", "oort"]


class ServeOptions(BaseModel):
    """How a population is served; none of it is part of what its members agreed to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="0.0.0.0", description="address to listen on")  # noqa: S104
    port: int = Field(default=0, ge=0, le=65535, description="port to listen on; 0: a free one")
    count: int = Field(default=100, ge=1, le=1 << 20, description="answers of a round")
    over: float = Field(default=1.3, ge=1, le=8, description="clients asked, in multiples of it")
    draw: Draw = Field(default="uniform", description="how clients of a round are drawn")
    draw_rows: int = Field(
        default=1000, ge=1, le=1 << 40, description="rows of a client that count in a draw by rows"
    )
    buffer: FedBuff | None = Field(
        default=None, description="train asynchronously by this plan, without rounds"
    )
    rules: RoundRules = RoundRules()
    limits: LimitRules = LimitRules()
    memory: int = Field(default=MOST_UPDATE_BYTES, ge=1, description="bytes of a round's updates")

    def participation(self, fewest: int) -> AmongPresent:
        """Return how clients are drawn. Errors: ATL-POP-036 not in this way."""
        require_draw(self.draw)
        return AmongPresent(
            method=self.draw,
            count=self.count,
            over=self.over,
            minimum=min(fewest, self.count),
            most_rows=self.draw_rows,
        )


@dataclass
class Served:
    """What came of it: the model after so many rounds, and whether all were done."""

    part: NetworkPart
    rounds: int
    finished: bool
    figures: RoundFigures


class Running:
    """One population, served and trained by this process alone."""

    def __init__(
        self, population: Population, options: ServeOptions, write: Callable[[str], None]
    ) -> None:
        """Prepare; nothing listens yet.

        Errors: ATL-POP-007, ATL-POP-010, ATL-POP-036 a draw and ATL-POP-037 a buffer that the terms
        do not allow.
        """
        self._population, self._options, self._write = population, options, write
        terms = population.terms
        self._work = PopulationWork(terms)
        self._drawn = options.participation(terms.training.minimum_clients)
        self.clients = self._rounds() if options.buffer is None else self._buffered(options.buffer)
        self._stopping = threading.Event()

    def _rounds(self) -> OutboundClients:
        options, terms = self._options, self._population.terms
        # Over-selection: the fastest count.
        closing: Closing = options.rules.closing
        if options.over > 1 and closing.first is None:
            closing = closing.model_copy(update={"first": options.count})
        rules = options.rules.model_copy(update={"closing": closing})
        coordinator = Coordinator(rules, terms.eligibility, SecretRandom())
        by_rows = options.draw == "weighted"
        if by_rows:
            self._work.require_rows_known()
        asked, clock = self._drawn.asked, SystemClock()
        return OutboundClients(
            self._work, coordinator, clock, asked, options.memory, by_rows=by_rows
        )

    def _buffered(self, plan: FedBuff) -> BufferedClients:
        options, terms = self._options, self._population.terms
        if options.draw != "uniform":
            raise UserError(
                "ATL-POP-036",
                "asynchronous training draws no clients: whoever is there gets a task",
                place="draw",
                hint="leave out how clients are drawn, or the buffer",
            )
        require_buffer(plan, terms)
        buffer = Buffer(options.rules, terms.eligibility, SecretRandom(), plan)
        return BufferedClients(self._work, buffer, SystemClock(), options.memory)

    def stop(self) -> None:
        """Leave the open round and end; the next run goes on before it."""
        self._stopping.set()
        self.clients.stop()

    def run(self, ready: Callable[[int], None] = lambda _: None) -> Served:
        """Serve until all rounds are done, the terms' last day has passed, or ``stop``.

        ``ready`` is given the port. Errors: ATL-STO-007 another process serves it, ATL-API-016,
        ATL-HOR-030 and 032 no round succeeded, ATL-HOR-039 the checkpoint is of another training.
        """
        lock = FileLock(self._population.root / LOCK)
        lock.acquire()
        try:
            options = self._options
            server = PopulationServer(
                self._population, self.clients, options.host, options.port, options.limits
            )
            server.start()
            watch = threading.Thread(target=self._watch, args=(server,), daemon=True)
            watch.start()
            try:
                self._population.note("served", f"begins at {options.host}:{server.port}")
                ready(server.port)
                served = self._train()
                self._population.note("served", f"ends after round {served.rounds}")
                return served
            finally:
                self.stop()
                watch.join()
                server.stop()
        finally:
            lock.release()

    def _train(self) -> Served:
        terms, figures = self._population.terms, RoundFigures()
        rounds = terms.training.rounds
        # Nothing else is drawn alike by all, so the seed is this run's own.
        public = PublicRandom(SecretRandom().bytes(32))
        checkpoint = Checkpoint(self._population.root / CHECKPOINT, subject=terms.digest.hex())
        state = self._begun(checkpoint, public)
        latest = [state]

        def seen(done: Round) -> bool:
            latest[0] = done.state
            self._keep(done.state)
            self._population.note("round", _line(done))
            return done.state.round < rounds and not self._gather()

        callbacks: list[Callback] = [figures, checkpoint, Progress(self._write, rounds), seen]
        if state.round < rounds and self._gather():
            try:
                self._run(state, public, callbacks)
            except CancelledError:
                self._write("stopped within a round, which the next run begins again")
        self._keep(latest[0])
        done = latest[0].round
        return Served(self._part(latest[0]), done, done >= rounds, figures)

    def _run(self, state: State, public: PublicRandom, callbacks: list[Callback]) -> None:
        clients, rounds = self.clients, self._population.terms.training.rounds
        if isinstance(clients, BufferedClients):
            BufferedTraining(self._work.algorithm, rounds).run(state, clients, callbacks)
            return
        by_rows = self._drawn.method == "weighted"
        training = Training(
            self._work.algorithm,
            self._drawn,
            rounds,
            eligible=clients.eligible,
            rows=clients.rows if by_rows else None,
            secret=SecretRandom(),
        )
        training.run(state, clients, public, callbacks)

    def _begun(self, checkpoint: Checkpoint, public: PublicRandom) -> State:
        if (self._population.root / CHECKPOINT).exists():
            state = checkpoint.resume()
            self._write(f"resumes after round {state.round}")
            return state
        generator = public.generator("population", 0, "weights")
        return self._work.algorithm.start(self._work.model.initial(generator))

    def _gather(self) -> bool:
        """Wait until there are clients to draw; without rounds none is waited for."""
        if isinstance(self.clients, BufferedClients):
            return not self._stopping.is_set()
        return self.clients.gather(self._drawn.asked, self._drawn.minimum)

    def _part(self, state: State) -> NetworkPart:
        terms, weights = self._population.terms, state.weights.astype(np.float32)
        return NetworkPart(terms.aggregator, terms.columns, self._work.spec, weights)

    def _keep(self, state: State) -> None:
        write_atomic(self._population.root / MODEL, encode(self._part(state)))

    def _watch(self, server: PopulationServer) -> None:
        """End in time, and keep the server's certificate current."""
        while not self._stopping.wait(_TICK):
            server.keep_current()
            if present().date() > self._population.terms.until:
                self._write("the last day of the terms has passed")
                self.stop()


def _line(done: Round) -> str:
    """Return a round in words, for the log."""
    answers = done.answers
    codes = Counter(answers.failures.values()) + Counter(answers.refused)
    parts = [f"round {done.number + 1}: {answers.answered} of {done.chosen} answered"]
    parts += ["the model is as before"] if done.failed else []
    return "; ".join([*parts, *(f"{code}: {count}" for code, count in sorted(codes.items()))])
