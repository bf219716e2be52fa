"""The aggregator of a step: it asks the clients for sums, round by round, and sends the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from atoll.channel.party import LEFT, Party
from atoll.core.errors import AtollError, NetworkError
from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.features.api import ROWS, run_step
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.participation import Clients as Numbers
from atoll.learning.horizontal.parties import vectors
from atoll.learning.horizontal.parties.adding import Sum, digest, weightless
from atoll.learning.horizontal.parties.agreement import pass_on
from atoll.learning.horizontal.parties.limits import extent_of
from atoll.learning.horizontal.parties.messages import Ask, Values
from atoll.learning.horizontal.parties.step_client import sum_name
from atoll.learning.horizontal.parties.step_work import UNKNOWN_ROWS, StepWork
from atoll.learning.horizontal.postprocess.api import Passage
from atoll.learning.horizontal.postprocess.chain import RoundRandom
from atoll.learning.horizontal.sums import Update
from atoll.learning.horizontal.training import Answers, Round

_GONE = "ATL-NET-003"


@dataclass(frozen=True)
class Stepped:
    """The last state of a step, and who left before which round."""

    state: State
    left: dict[str, int]


class StepClients:
    """The clients of a job as ``training.Clients``: parties that may leave and do not return."""

    def __init__(self, party: Party, work: StepWork) -> None:
        self._party, self._work = party, work
        self._all = party.clients
        self.here = list(party.clients)
        self.left: dict[str, int] = {}
        self._former: dict[str, Vector] = {}
        self._empty: Vectors = {}

    @property
    def registered(self) -> int:
        """How many there were at the beginning."""
        return len(self._all)

    def ask(self, round_: int, message: Vectors, chosen: Numbers) -> Answers:
        """Have the clients that are left sum, and return the sum of their updates.

        Errors: ATL-NET-048 fewer are left than must stay; ATL-HOR-055 they have no rows; those of
        ``Adding``.
        """
        party, work = self._party, self._work
        self._require()
        names = tuple(self.here)
        wide = _wide(message)
        self._send(round_, names, wide, last=False)
        name = sum_name(round_)
        of = Sum(name, name, names, digest(wide, exact=True))
        passage = Passage(RoundRandom(party.public_rng, round_), np.random.default_rng(0))
        empty, self._empty = work.empty(wide, self._empty, len(self._all))
        rows = {client: party.rows.get(client, UNKNOWN_ROWS) for client in self._all}

        def refusal(client: str, update: Update) -> str | None:
            return work.refusal(update, extent_of(rows, [client], len(self._all), round_))

        total, there = work.adding.take(party, of, work.chain.client(empty, passage), refusal)
        if total is not None:
            total = work.chain.aggregate(total, work.columns, passage)
            if total.numbers[ROWS] <= 0:
                raise weightless(round_)
        for client in names:
            if client not in there:
                self._drop(client, round_)
        self._require()
        return Answers(total, len(there), {self._all.index(gone): _GONE for gone in self.left})

    def end(self, round_: int, result: Vectors) -> None:
        """Send the result to all that are left, who agree on it. Errors: those of ``pass_on``."""
        wide = _wide(result)
        self._send(round_, (), wide, last=True)
        agreed = pass_on(self._party, digest(wide, exact=True), self.here, self._work.minimum)
        for name in [name for name in self.here if name not in agreed]:
            self._drop(name, round_)

    def _send(
        self, round_: int, names: tuple[str, ...], message: dict[str, Vector], *, last: bool
    ) -> None:
        """Send what a round begins with to all that are left; who is gone now is found later."""
        parts = tuple(sorted(message))
        kept = tuple(_alike(self._former.get(part), message[part]) for part in parts)
        sizes = tuple(len(message[part]) for part in parts)
        ask, channel = Ask(round_, names, parts, sizes, kept, last), self._party.channel
        for client in list(self.here):
            try:
                channel.send(client, "ask", ask)
                for part, first in zip(parts, kept, strict=True):
                    vectors.send(channel, client, f"ask/{part}", Values, message[part][first:])
            except AtollError as error:
                if error.code not in LEFT:
                    raise
                if last:
                    self._drop(client, round_)
        self._former |= message

    def _drop(self, name: str, round_: int) -> None:
        self.here.remove(name)
        self.left[name] = round_

    def _require(self) -> None:
        least = self._work.minimum
        if len(self.here) < least:
            raise NetworkError(
                "ATL-NET-048",
                f"only {len(self.here)} of {len(self._all)} clients are left, and {least} must "
                "stay",
                phase="summing",
                hint="wait for the others to come back, or ask for fewer (minimum_clients)",
            )


def run(
    party: Party,
    work: StepWork,
    result: Callable[[State], Vectors],
    watch: Callable[[State], None] = lambda state: None,
) -> Stepped:
    """Run a step with all clients; send them what ``result`` makes of its last state.

    ``watch`` sees the state after each round, and the one at which an attempt goes on.

    Reveals: to every client, what each round asks for, and the result; see ``StepClient.run`` for
    what it learns. Errors: ATL-NET-048, ATL-HOR-055, ATL-HOR-081, ATL-HOR-102, those of the secure
    sum and of the step's ``aggregate``.
    """
    clients, step = StepClients(party, work), work.step

    def seen(done: Round) -> None:
        if work.keeps(done.state.round):
            party.checkpoint(done.state.round, {"vectors": dict(done.state.vectors)})
        watch(done.state)
        party.progress("summing", done.number + 1, step.most_rounds)
        party.cancel.check()

    resumed = party.resume()
    # Every client holds the round at which all go on, so none had left before it.
    state = None if resumed is None else State(resumed[0], resumed[1]["vectors"])
    if state is not None:
        watch(state)
    state = run_step(step, clients, work.columns, party.public_rng, state, [seen])
    clients.end(state.round, result(state))
    return Stepped(state, clients.left)


def _wide(message: Vectors) -> dict[str, Vector]:
    return {name: np.asarray(vector, np.float64) for name, vector in message.items()}


def _alike(former: Vector | None, vector: Vector) -> int:
    """Return how many values at the beginning have the same bits in both."""
    if former is None:
        return 0
    size = min(len(former), len(vector))
    one, two = (np.ascontiguousarray(v[:size]).view(np.int64) for v in (former, vector))
    differ = np.flatnonzero(one != two)
    return int(differ[0]) if len(differ) else size
