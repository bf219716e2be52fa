"""The aggregator of horizontal training: it begins rounds, adds up, and steps."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import astuple, dataclass, field

import numpy as np
import numpy.typing as npt

from atoll.channel.party import LEFT, Party
from atoll.core.errors import AtollError, NetworkError
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.algorithm import WEIGHTS, State, Vectors
from atoll.learning.horizontal.participation import Clients as Numbers
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.parties.adding import Sum, digest, weightless, wrong_sum
from atoll.learning.horizontal.parties.agreement import pass_on
from atoll.learning.horizontal.parties.client import Work, sum_name
from atoll.learning.horizontal.parties.down import Down
from atoll.learning.horizontal.parties.limits import extent_of
from atoll.learning.horizontal.parties.measured import Point, means, show
from atoll.learning.horizontal.parties.messages import Begin
from atoll.learning.horizontal.parties.once import drawn_once, source_of
from atoll.learning.horizontal.parties.privacy import AGGREGATOR, READERS
from atoll.learning.horizontal.postprocess.api import Passage
from atoll.learning.horizontal.postprocess.chain import RoundRandom
from atoll.learning.horizontal.postprocess.down_link import down_link
from atoll.learning.horizontal.sums import Extent, Update
from atoll.learning.horizontal.training import Answers, Round, Training

_GONE = "ATL-NET-003"


@dataclass
class Trained:
    """What the aggregator has in the end: weights, the curve, and who left before which round."""

    weights: npt.NDArray[np.float32]
    curve: list[Point] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)


class PartyClients:
    """The clients of a job as ``training.Clients``: parties that may leave and do not return."""

    def __init__(self, party: Party, work: Work) -> None:
        self._party, self._work = party, work
        self._all = party.clients
        self.here = list(party.clients)
        self.left: dict[str, int] = {}
        self._count = 0
        self._down = Down(down_link(work.algorithm))
        self._state: State | None = None

    @property
    def _rows(self) -> dict[str, int]:
        return {name: self._party.rows.get(name, 0) for name in self._all}

    def _extent(self, there: Collection[str], round_: int) -> Extent:
        return extent_of(self._rows, there, len(self._all), round_)

    @property
    def registered(self) -> int:
        """How many there were at the beginning."""
        return len(self._all)

    def ask(self, round_: int, message: Vectors, chosen: Numbers) -> Answers:
        """Have the clients that are left train, and return the sum of their updates.

        Errors: ATL-NET-048 fewer are left than must stay; ATL-HOR-055 none of them weighs anything;
        those of ``Adding``.
        """
        answers = self.ask_for(round_, message, train=True)
        if answers.total is not None and self._work.range.weightless(answers.total):
            raise weightless(round_)
        return answers

    def ask_for(self, round_: int, message: Vectors, *, train: bool) -> Answers:
        """Have those that are left train, or evaluate alone; return the sum."""
        party, work = self._party, self._work
        self._require()
        names = tuple(self.here)
        self.begin(Begin(round_, names, train, False), message)
        name = sum_name(round_, train)
        of = Sum(name, f"{name}-{self._count}", names, digest(message))
        self._count += 1
        template, range_, mask = work.template(party, round_, train), work.range, work.adding.mask

        def refusal(client: str, update: Update) -> str | None:
            return range_.refusal(update, self._extent([client], round_))

        total, there = work.adding.take(party, of, template, refusal)
        if total is not None:
            passage = Passage(
                RoundRandom(party.public_rng, round_),
                np.random.default_rng(0),
                secret=self._secret(of, total),
            )
            if mask is not None and range_.refusal(
                mask.aggregate(total, 0, passage), self._extent(there, round_)
            ):
                raise wrong_sum()
            total = work.passed(train).aggregate(total, work.model.layout.size, passage)
        for name in names:
            if name not in there:
                self._drop(name, round_)
        self._require()
        gone = {self._all.index(name): _GONE for name in self.left}
        return Answers(total, len(there), gone)

    def _secret(self, of: Sum, total: Update) -> SecretRandom:
        """Return what the aggregator draws noise from, where the noise is its own."""
        private = self._work.private
        if private is None or private.at_clients:
            return SecretRandom()
        return drawn_once(self._party, of.name, source_of(of.sent, total.vectors))

    def begin(self, begin: Begin, message: Vectors) -> None:
        """Send what a round begins with to all that are left; who is gone now is found later."""
        channel = self._party.channel
        parcel = self._down.parcel(begin.round, message, self._state)
        for name in list(self.here):
            try:
                channel.send(name, "begin", begin)
                self._down.send(channel, name, message, parcel)
            except AtollError as error:
                if error.code not in LEFT:
                    raise
                if begin.last:
                    self._drop(name, begin.round)

    def end(self, round_: int, message: Vectors) -> None:
        """Send the result to all that are left, who agree on it. Errors: those of ``pass_on``."""
        self.begin(Begin(round_, (), False, True), message)
        agreed = pass_on(self._party, digest(message), self.here, self._work.minimum)
        for name in [name for name in self.here if name not in agreed]:
            self._drop(name, round_)

    def ended(self, done: Round) -> None:
        """Note the state after a round: what clients are sent next follows from it."""
        self._state = done.state

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
                phase="training",
                hint="wait for the others to come back, or ask for fewer (minimum_clients)",
            )


def run(party: Party, work: Work) -> Trained:
    """Train with all clients; return what the aggregator has in the end.

    Reveals: to every client, the weights after each round; see ``Client.run`` for what it learns.
    Errors: ATL-NET-048, ATL-HOR-081, those of the secure sum.
    """
    clients, curve = PartyClients(party, work), list[Point]()
    state = _begun(party, work, curve)

    def seen(done: Round) -> None:
        _add(party, work, curve, done.number, done.answers)
        _spend(party, work, done.state.round)
        if work.checkpoints(done.state.round):
            _keep(party, done.state, curve)
        party.progress("training", done.number + 1, work.rounds)
        party.cancel.check()

    training = Training(work.algorithm, Participation(method="all"), work.rounds)
    state = training.run(state, clients, party.public_rng, [clients.ended, seen])
    message = work.algorithm.message(state)
    if work.private is None:
        last = clients.ask_for(state.round, message, train=False)
        _add(party, work, curve, state.round, last)
    clients.end(state.round, message)
    # What clients hold and evaluated: behind a compressed down-link not quite the state's weights.
    return Trained(message[WEIGHTS].astype(np.float32, copy=False), curve, clients.left)


def _keep(party: Party, state: State, curve: list[Point]) -> None:
    points = [[float(value) for value in astuple(point)] for point in curve]
    party.checkpoint(state.round, {"vectors": dict(state.vectors), "curve": points})


def _begun(party: Party, work: Work, curve: list[Point]) -> State:
    """Return the state to go on at: what an earlier attempt kept, else the initial weights."""
    resumed = party.resume()
    if resumed is None:
        generator = party.public_rng.generator("horizontal", 0, "weights")
        return work.algorithm.start(work.model.initial(generator))
    round_, kept = resumed
    for at, loss, figure, clients in kept["curve"]:
        curve.append(Point(int(at), loss, figure, int(clients)))
        show(party, curve[-1], work.classifies)
    for done in range(1, round_ + 1):
        _spend(party, work, done)
    return State(round_, kept["vectors"])


def _add(party: Party, work: Work, curve: list[Point], round_: int, answers: Answers) -> None:
    found = None if answers.total is None else means(answers.total.numbers)
    if found is None:
        return
    curve.append(Point(round_, found.loss, found.figure, answers.answered))
    show(party, curve[-1], work.classifies)


def _spend(party: Party, work: Work, rounds: int) -> None:
    """Show what so many rounds cost in ε, where that is bounded."""
    if work.private is None:
        return
    spent = work.private.spent(rounds)
    party.metric(READERS, spent.readers.epsilon, rounds)
    if spent.aggregator is not None:
        party.metric(AGGREGATOR, spent.aggregator.epsilon, rounds)
