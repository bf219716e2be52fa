"""The training loop: choose clients, ask them, add up, step; callbacks see each round.

The loop knows no transport: ``Clients`` are a simulation, the parties of a job, or outbound
clients. It ends after its rounds, or when a callback says so; a round in which no client answered
changes nothing, and a run in which none ever did has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from atoll.core.errors import NetworkError
from atoll.core.random import PublicRandom, SecretRandom
from atoll.learning.horizontal.algorithm import Algorithm, State, Vectors
from atoll.learning.horizontal.participation import Clients as Numbers
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.sums import Update


@dataclass(frozen=True)
class Answers:
    """What a round's clients gave: the sum of their updates, how many, and who failed how."""

    total: Update | None
    answered: int
    failures: dict[int, str]


class Clients(Protocol):
    """Those who train. Answers are added in the order of the clients' numbers."""

    @property
    def registered(self) -> int:
        """How many there are; they are numbered from 0."""
        ...

    def ask(self, round_: int, message: Vectors, chosen: Numbers) -> Answers:
        """Have the chosen clients train on ``message`` and return what they gave."""
        ...


@dataclass(frozen=True)
class Round:
    """One round as the aggregator saw it; callbacks add their figures to ``metrics``."""

    number: int
    chosen: int
    answers: Answers
    state: State
    metrics: dict[str, float] = field(default_factory=dict)


Callback = Callable[[Round], bool | None]


@dataclass(frozen=True)
class Training:
    """How a model is trained: the algorithm, who takes part, for how many rounds.

    With ``secret`` the clients of a round are drawn from it, so that only the aggregator and they
    themselves know them, as amplification of privacy by sampling needs. Errors of ``run``:
    ATL-HOR-030 if no client of any round answered.
    """

    algorithm: Algorithm
    participation: Participation
    rounds: int
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
        answered, asked = 0, 0
        while state.round < self.rounds:
            done = self._round(state, clients, public)
            state, asked, answered = done.state, asked + 1, answered + done.answers.answered
            if sum(bool(callback(done)) for callback in callbacks):
                break
        if asked and not answered:
            raise NetworkError(
                "ATL-HOR-030",
                f"no client answered in {asked} rounds",
                hint="the last round's failures are in the log, each with its client's code",
            )
        return state

    def _round(self, state: State, clients: Clients, public: PublicRandom) -> Round:
        generator = public.generator("horizontal", state.round, "participation")
        if self.secret is not None:
            key = int.from_bytes(self.secret.bytes(16), "big")
            generator = np.random.Generator(np.random.Philox(key=key))
        chosen = self.participation.choose(clients.registered, generator)
        answers = clients.ask(state.round, self.algorithm.message(state), chosen)
        after = state.next() if answers.total is None else self._step(state, answers.total)
        return Round(state.round, len(chosen), answers, after)

    def _step(self, state: State, total: Update) -> State:
        return self.algorithm.aggregate(state, total.check())
