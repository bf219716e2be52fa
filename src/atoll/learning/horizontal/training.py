"""The training loop: choose clients, ask them, add up, step; callbacks see each round.

The loop knows no transport: ``Clients`` are a simulation, the parties of a job, or outbound
clients. It ends after its rounds, or when a callback says so; a round in which too few clients
answered changes nothing, and a run in which all rounds were so has failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from atoll.core.errors import NetworkError, UserError
from atoll.core.random import PublicRandom, SecretRandom
from atoll.learning.horizontal.algorithm import Algorithm, State, Vectors
from atoll.learning.horizontal.participation import Clients as Numbers
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.selection.pool import (
    PREFIX,
    ClientReport,
    Eligible,
    Pool,
    RowCounts,
)
from atoll.learning.horizontal.sums import Update


@dataclass(frozen=True)
class Answers:
    """What a round's clients gave: the sum of their updates, how many, and who failed how.

    ``reports`` are figures of single clients, where the choice of clients needs them. ``seconds``
    is the round's time on the clients' clock, ``refused`` counts by code the answers that no round
    took (late, repeated, not asked for), ``partial`` the updates of turns that were cut short.
    """

    total: Update | None
    answered: int
    failures: dict[int, str]
    reports: Mapping[int, ClientReport] = field(default_factory=dict)
    seconds: float = 0.0
    refused: Mapping[str, int] = field(default_factory=dict)
    partial: int = 0


class Clients(Protocol):
    """Those who train. Answers are added in the order of the clients' numbers."""

    @property
    def registered(self) -> int:
        """How many there are; they are numbered from 0."""
        ...

    def ask(self, round_: int, message: Vectors, chosen: Numbers) -> Answers:
        """Have the chosen clients train on ``message`` and return what they gave."""
        ...


@runtime_checkable
class Restoring(Protocol):
    """Clients that can take back what they kept of the last round, where it was in vain."""

    def take_back(self) -> None:
        """Give each client of the last round what it had kept before."""
        ...


@dataclass(frozen=True)
class Round:
    """One round as the aggregator saw it; callbacks add their figures to ``metrics``.

    A ``failed`` one changed nothing but its number.
    """

    number: int
    chosen: int
    answers: Answers
    state: State
    failed: bool = False
    metrics: dict[str, float] = field(default_factory=dict)


Callback = Callable[[Round], bool | None]


@dataclass
class Outcome:
    """How many rounds were done, and what came of them; a run without any success has failed."""

    rounds: int = 0
    answered: int = 0
    succeeded: int = 0
    codes: Counter[str] = field(default_factory=Counter)

    def add(self, done: Round) -> None:
        """Count a round."""
        self.rounds += 1
        self.answered += done.answers.answered
        self.succeeded += not done.failed
        self.codes.update(done.answers.failures.values())

    def check(self) -> None:
        """Refuse a run without a success. Errors: ATL-HOR-030 no answer, ATL-HOR-032 too few."""
        if not self.rounds or self.succeeded:
            return
        hint = "each client has its own traceback; in a simulation all are in clients.tracebacks"
        codes = ", ".join(f"{count} times {code}" for code, count in self.codes.most_common(3))
        failed = f" (clients failed: {codes})" if codes else ""
        if not self.answered:
            text = f"no client answered in {self.rounds} rounds{failed}"
            raise NetworkError("ATL-HOR-030", text, hint=hint)
        text = f"too few clients answered in each of {self.rounds} rounds{failed}"
        raise NetworkError("ATL-HOR-032", text, hint=hint)


def driven(
    state: State, rounds: int, step: Callable[[State], Round], callbacks: Sequence[Callback]
) -> State:
    """Return the state after ``rounds`` rounds, or where a callback returns True.

    Errors: ATL-HOR-030, ATL-HOR-032 if all rounds were in vain.
    """
    outcome = Outcome()
    while state.round < rounds:
        done = step(state)
        state = done.state
        outcome.add(done)
        if sum(bool(callback(done)) for callback in callbacks):
            break
    outcome.check()
    return state


@dataclass(frozen=True)
class Training:
    """How a model is trained: the algorithm, who takes part, for how many rounds.

    ``eligible`` and ``rows`` are asked about candidates by their numbers: who may take part now,
    and the rows of each. With ``secret`` the clients of a round are drawn from it, so that only the
    aggregator and they themselves know them, as amplification of privacy by sampling needs. Errors
    of ``run``: ATL-HOR-030 if no client of any round answered, ATL-HOR-032 if too few did in each,
    ATL-HOR-033 if the choice of clients needs losses that they do not report.
    """

    algorithm: Algorithm
    participation: Participation
    rounds: int
    eligible: Eligible | None = None
    rows: RowCounts | None = None
    secret: SecretRandom | None = None

    def run(
        self,
        state: State,
        clients: Clients,
        public: PublicRandom,
        callbacks: Sequence[Callback] = (),
    ) -> State:
        """Return the state after the last round. A callback that returns True ends the training.

        ``state`` may come from a checkpoint: the rounds that it counts are not done again.
        """
        return driven(state, self.rounds, lambda at: self._round(at, clients, public), callbacks)

    def _round(self, state: State, clients: Clients, public: PublicRandom) -> Round:
        # What choices remember rides in the state, so that a checkpoint holds it; no algorithm
        # sees it.
        memory = {n: v for n, v in state.vectors.items() if n.startswith(PREFIX)}
        own = State(state.round, {n: v for n, v in state.vectors.items() if n not in memory})
        generator = public.generator("horizontal", state.round, "participation")
        if self.secret is not None:
            key = int.from_bytes(self.secret.bytes(16), "big")
            generator = np.random.Generator(np.random.Philox(key=key))
        pool = Pool(clients.registered, state.round, memory, self.eligible, self.rows)
        chosen = self.participation.select(pool, generator)
        answers = clients.ask(state.round, self.algorithm.message(own), chosen)
        self._require_reports(answers)
        total = answers.total if answers.answered >= self.participation.minimum else None
        if total is None and isinstance(clients, Restoring):
            clients.take_back()
        after = own.next() if total is None else self._step(own, total)
        memory = {**self.participation.remember(memory, state.round, answers.reports)}
        after = State(after.round, {**after.vectors, **memory})
        return Round(state.round, len(chosen), answers, after, failed=total is None)

    def _step(self, state: State, total: Update) -> State:
        return self.algorithm.aggregate(state, total.check())

    def _require_reports(self, answers: Answers) -> None:
        if self.participation.needs_losses and answers.answered and not answers.reports:
            raise UserError(
                "ATL-HOR-033",
                f"{self.participation.method} needs the loss of each client, and none reports it",
                hint="have the clients report (reporting=True), or draw them uniformly",
            )
