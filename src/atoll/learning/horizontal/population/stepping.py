"""Asynchronous training over a population: one thread steps, another serves visits.

A client trains on the weights of when it was asked. An update is scaled by its staleness, and its
own weight in the mean stays whole, as in ``FedBuff``; each is a client's own, with its own noise,
and who is fast takes part more often: nothing here amplifies privacy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atoll.core.clock import Clock
from atoll.core.errors import CancelledError, UserError
from atoll.learning.horizontal.algorithm import Algorithm, State, Vectors
from atoll.learning.horizontal.asynchronous import FedBuff, require_sums
from atoll.learning.horizontal.population.buffered import Buffer
from atoll.learning.horizontal.population.clients import MOST_UPDATE_BYTES, Outbound
from atoll.learning.horizontal.population.terms import PopulationTerms
from atoll.learning.horizontal.population.work import PopulationWork
from atoll.learning.horizontal.sums import total
from atoll.learning.horizontal.training import Answers, Callback, Round, driven


class BufferedClients(Outbound):
    """Members that train whenever they come; see ``Buffer``."""

    def __init__(
        self,
        work: PopulationWork,
        buffer: Buffer,
        clock: Clock,
        memory: int = MOST_UPDATE_BYTES,
    ) -> None:
        """Make it. Errors: ATL-POP-010 updates and models of steps under way need more memory."""
        plan = buffer.plan
        models = 1 + min(plan.concurrency, plan.most_stale)
        values = (plan.concurrency + plan.buffer) * work.form.size + models * work.sent.size
        super().__init__(work, buffer, clock, 4 * values, memory)
        self._buffer = buffer

    def step(self, version: int, message: Vectors) -> Answers:
        """Hand out a step's weights until a buffer is full, and return what that adds up to.

        Errors: ATL-POP-011 stopped.
        """
        model = self._work.pack(message)
        with self._changed:
            began = self._clock.now()
            self._models[version] = model
            self._buffer.begin(version, began)
            while not self._buffer.full and not self._stopped:
                self._forget(version)
                left = self._buffer.next_moment(self._clock.now())
                self._changed.wait(min(max(left, 0.01), 1.0))
                self._buffer.expire(self._clock.now())
            if self._stopped:
                raise CancelledError("ATL-POP-011", "the population was stopped within a step")
            taken = self._buffer.take()
            parts = [(self._updates.pop(n), weight) for n, weight in taken.weights.items()]
            seconds = self._clock.now() - began
        found = total([update.scaled(weight) for update, weight in parts])
        if found is not None:
            found = self._work.added(found, len(parts))
        failures, refused = dict(taken.failures), taken.refused
        return Answers(found, len(parts), failures, seconds=seconds, refused=refused)

    def _forget(self, version: int) -> None:
        """Drop what no client may ask for or go on with any more."""
        used, waiting = self._buffer.versions | {version}, self._buffer.waiting
        self._models = {v: model for v, model in self._models.items() if v in used}
        self._updates = {n: update for n, update in self._updates.items() if n in waiting}
        holds = self._buffer.holds
        self._uploads = {n: part for n, part in self._uploads.items() if holds(n, part.token)}


@dataclass(frozen=True)
class BufferedTraining:
    """Each of ``rounds`` steps takes the next full buffer; callbacks see it as a round."""

    algorithm: Algorithm
    rounds: int

    def run(
        self, state: State, clients: BufferedClients, callbacks: Sequence[Callback] = ()
    ) -> State:
        """Return the state after the last step. A callback that returns True ends the training.

        Errors: ATL-HOR-114 an algorithm that needs single updates, ATL-POP-011 stopped.
        """
        require_sums(self.algorithm)
        return driven(state, self.rounds, lambda at: self._step(at, clients), callbacks)

    def _step(self, state: State, clients: BufferedClients) -> Round:
        answers = clients.step(state.round, self.algorithm.message(state))
        if answers.total is None:
            return Round(state.round, answers.answered, answers, state.next(), failed=True)
        after = self.algorithm.aggregate(state, answers.total.check())
        return Round(state.round, answers.answered, answers, after)


def require_buffer(plan: FedBuff, terms: PopulationTerms) -> None:
    """Check that a step is over as many clients as the terms state. Errors: ATL-POP-037."""
    fewest = terms.training.minimum_clients
    if plan.buffer < fewest:
        raise UserError(
            "ATL-POP-037",
            f"the terms state at least {fewest} clients of a step, and the buffer holds fewer",
            place="buffer",
            hint=f"use a buffer of {fewest} or more: one client is in it once",
        )
