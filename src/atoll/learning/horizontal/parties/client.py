"""A client of horizontal training: it trains on its own rows and hands in what is summed."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atoll.channel.own_seed import own_random
from atoll.channel.party import Party
from atoll.core.errors import DataError, PeerError
from atoll.core.random import DerivedRandom, SecretRandom
from atoll.learning.horizontal.algorithm import (
    WEIGHTS,
    Algorithm,
    ClientResult,
    ClientWork,
    Vectors,
)
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.parties.adding import Adding, Sum, digest
from atoll.learning.horizontal.parties.agreement import agree
from atoll.learning.horizontal.parties.down import Down
from atoll.learning.horizontal.parties.limits import Range, extent_of
from atoll.learning.horizontal.parties.measured import Point, means, measured, show
from atoll.learning.horizontal.parties.messages import Begin
from atoll.learning.horizontal.parties.once import drawn_once, source_of
from atoll.learning.horizontal.parties.privacy import Private
from atoll.learning.horizontal.postprocess.api import Bytes, Passage
from atoll.learning.horizontal.postprocess.chain import Chain, RoundRandom
from atoll.learning.horizontal.postprocess.down_link import down_link
from atoll.learning.horizontal.postprocess.mask import CUT
from atoll.learning.horizontal.sums import Update

# Values of a model whose state is kept after every round, and how often that of a larger one is.
# Above the last it is not kept: a checkpoint holds 1 GiB, which up to four float32 vectors fit.
_SMALL, _SELDOM, _MOST_KEPT = 1 << 20, 10, 1 << 26


@dataclass(frozen=True)
class Work:
    """What all parties of a training know of it: alike at each.

    ``bound`` is the greatest change of a value by a client of weight 1. With ``private`` no figures
    are summed: each client evaluates on its own rows for itself.
    """

    model: Model
    algorithm: Algorithm
    chain: Chain
    adding: Adding
    rounds: int
    evaluate_every: int
    minimum: int
    classifies: bool
    bound: float
    private: Private | None = None

    @property
    def range(self) -> Range:
        """What updates are within."""
        size = self.model.layout.size
        return Range(self.algorithm, self.chain, self.bound, size, self.classifies)

    def start(self, party: Party) -> Vectors:
        """Return what the first round sends, which all parties can work out."""
        generator = party.public_rng.generator("horizontal", 0, "weights")
        state = self.algorithm.start(self.model.initial(generator))
        return self.algorithm.message(state)

    def checkpoints(self, rounds: int) -> bool:
        """Return whether all seats keep their states after so many rounds: large ones seldom.

        The largest never: a party that crashes then has all begin again.
        """
        if self.model.layout.size >= _MOST_KEPT:
            return False
        every = 1 if self.model.layout.size <= _SMALL else _SELDOM
        return rounds % every == 0

    def passed(self, train: bool) -> Chain:
        """Return what an update passes: figures alone pass the mask alone."""
        mask = self.adding.mask
        return self.chain if train else Chain(() if mask is None else (mask,))

    def evaluates(self, round_: int) -> bool:
        """Return whether the weights that round ``round_`` begins with are evaluated."""
        return bool(self.evaluate_every) and round_ % self.evaluate_every == 0

    def template(self, party: Party, round_: int, train: bool) -> Update:
        """Return the form of all updates: one of a client without rows, of zeros without room."""
        nothing = ClientRows(np.empty((0, 1), np.float32), np.empty(0, np.int64))
        made = Client(party, self, nothing, nothing).update(round_, train, self.start(party))
        empty = {n: np.broadcast_to(np.zeros(1, v.dtype), v.shape) for n, v in made.vectors.items()}
        return Update(empty, made.numbers)


@dataclass
class Client:
    """One client over a training. ``data`` and ``held_out`` stay here, as does what it keeps.

    ``curve`` are this client's own figures, where those of all are not summed; ``cut`` has the
    code of each round of which own values did not fit. The aggregator chooses the weights: were
    that an error, the round in which one client fails would show its values.
    """

    party: Party
    work: Work
    data: ClientRows
    held_out: ClientRows
    kept: Vectors = field(default_factory=dict)
    curve: list[Point] = field(default_factory=list)
    # The rounds of which an own value did not fit the sum, and was cut.
    cut: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The round that may come next, who may be in it, and whether the end was evaluated.
        self._next, self._ended = 0, False
        self._there = frozenset(self.party.clients)

    def run(self) -> npt.NDArray[np.float32]:
        """Take part until the end; return the common weights, float32[size].

        Reveals: to the aggregator, each round's update, or under masks the sum of at least
        ``minimum`` clients' alone. With privacy, each with its noise. Errors: ATL-HOR-081,
        ATL-HOR-082, ATL-HOR-141, ATL-HOR-170, those of ``Adding``.
        """
        party, hub = self.party, self.party.aggregator
        resumed = party.resume()
        if resumed is not None:
            self._next, self.kept = resumed[0], resumed[1]["kept"]
            self._seen_before(resumed[1].get("curve", []))
            self.cut = {int(round_): str(code) for round_, code in resumed[1].get("cut", [])}
        form = {name: len(vector) for name, vector in sorted(self.work.start(party).items())}
        count, down = 0, Down(down_link(self.work.algorithm))
        while True:
            begin = party.channel.receive(hub, "begin", Begin)
            self._check(begin)
            sent = down.receive(party.channel, hub, begin.round, form)
            self._look(begin, sent)
            if begin.last:
                agree(party, digest(sent), self._there, self.work.minimum)
                return sent[WEIGHTS]
            name = sum_name(begin.round, begin.train)
            of = Sum(name, f"{name}-{count}", begin.names, digest(sent))
            wire: dict[str, Bytes] = {}
            update = self.update(begin.round, begin.train, sent, of, wire)
            self.work.adding.hand_in(party, of, update, wire)
            # Nothing holds it while the next weights are received.
            del update
            count += 1
            if begin.train and self.work.checkpoints(begin.round + 1):
                points = [[float(value) for value in astuple(point)] for point in self.curve]
                cut = [list(item) for item in self.cut.items()]
                state = {"kept": dict(self.kept), "curve": points, "cut": cut}
                party.checkpoint(begin.round + 1, state)
            party.progress("training", begin.round + int(begin.train), self.work.rounds)
            party.cancel.check()

    def update(
        self,
        round_: int,
        train: bool,
        sent: Vectors,
        of: Sum | None = None,
        wire: dict[str, Bytes] | None = None,
    ) -> Update:
        """Return this client's update of a round, as it leaves it: all numbers are sums.

        ``of`` is the sum that it goes into; without one it goes nowhere, and no noise is used up.
        The chain's coder writes into ``wire`` what travels in place of the vectors.
        """
        party, work = self.party, self.work
        figures: dict[str, float] = {}
        if work.private is None and (not train or work.evaluates(round_)):
            weights = work.algorithm.personal(sent, self.kept)
            figures = measured(work.model, weights, self.held_out, work.classifies)
        if not train:
            passage = Passage(RoundRandom(party.public_rng, round_), np.random.default_rng(0))
            return self._passed(work.passed(False), Update({}, figures), passage, round_)
        clients, public = party.clients, party.public_rng
        # An aggregator works out the form of updates: it has no rows, and draws nothing.
        here = party.name in clients
        number = clients.index(party.name) if here else len(clients)
        drawn = self._own if here else public
        generator = drawn.generator(f"client {number}", round_, "training")
        share = ClientWork(work.model, sent, self.kept, self.data, generator, len(clients))
        result = self._result(share, round_)
        carried = {name: v for name, v in self.kept.items() if name not in result.kept}
        made = Update(result.update.vectors, {**result.update.numbers, **figures})
        secret = SecretRandom()
        if work.private is not None and of is not None and work.private.at_clients:
            secret = drawn_once(party, of.name, source_of(of.sent, made.vectors))
        passage = Passage(RoundRandom(public, round_), generator, carried, secret, wire=wire)
        update = self._passed(work.chain, made, passage, round_)
        self.kept = {**passage.kept, **result.kept}
        return update

    @cached_property
    def _own(self) -> DerivedRandom:
        """What this client draws by: no one else knows which of its rows a step took last."""
        return own_random(self.party, "horizontal", self.data.arrays)

    @property
    def _hidden(self) -> bool:
        """Whether single updates are hidden: then no error may depend on an update's values."""
        return self.work.adding.mask is not None or self.work.private is not None

    def _result(self, share: ClientWork, round_: int) -> ClientResult:
        """Return what this client trained, nothing where that is not finite and updates are hidden.

        Errors: ATL-HOR-011 where the aggregator sees each update anyway.
        """
        try:
            result = self.work.algorithm.client(share)
            result.update.check()
        except (DataError, ArithmeticError) as error:
            if not self._hidden:
                raise
            self.cut[round_] = getattr(error, "code", "ATL-HOR-011")
            nothing = ClientRows(self.data.rows[:0], self.data.targets[:0])
            update = self.work.algorithm.client(replace(share, data=nothing, kept={})).update
            return ClientResult(_nothing(update), share.kept)
        return result

    def _passed(self, chain: Chain, made: Update, passage: Passage, round_: int) -> Update:
        """Return an update as it leaves its client, cut to what fits."""
        if chain is self.work.chain:
            clients, rows = self.party.clients, self.party.rows
            known = {name: rows.get(name, 0) for name in clients}
            fitting = self.work.range.fitted(
                made, extent_of(known, [self.party.name], len(clients))
            )
            if fitting is not made:
                made, self.cut[round_] = fitting, CUT
        if not self._hidden:
            return chain.client(made, passage)
        passage.cut = []
        try:
            update = chain.client(made, passage)
        except DataError as error:
            passage.cut = [error.code]
            update = chain.client(_nothing(made), replace(passage, cut=[]))
        if passage.cut:
            self.cut[round_] = passage.cut[0]
        return update

    def _look(self, begin: Begin, sent: Vectors) -> None:
        """Evaluate on the own held-out rows for this client alone, where sums would show rows."""
        work = self.work
        if work.private is None or not (begin.last or work.evaluates(begin.round)):
            return
        weights = work.algorithm.personal(sent, self.kept)
        found = means(measured(work.model, weights, self.held_out, work.classifies))
        if found is not None:
            self.curve.append(Point(begin.round, found.loss, found.figure, 1))
            show(self.party, self.curve[-1], work.classifies)

    def _seen_before(self, points: list[list[float]]) -> None:
        """Show the points of an earlier attempt."""
        for at, loss, figure, clients in points:
            self.curve.append(Point(int(at), loss, figure, int(clients)))
            show(self.party, self.curve[-1], self.work.classifies)

    def _check(self, begin: Begin) -> None:
        """Refuse a round that is not of the plan, and note this one. Errors: ATL-HOR-082.

        Each round is trained once, and the end evaluated once: the plan states how many sums there
        are. Who was left out does not come back, or rounds over changing clients would show each.
        """
        if begin.last:
            return
        names, rounds = begin.names, self.work.rounds
        known = list(names) == sorted(set(names)) and self._there.issuperset(names)
        if not known or self.party.name not in names or len(names) < self.work.minimum:
            raise self._refused("with too few clients, or others than those that were left")
        if begin.train and not self._next <= begin.round < rounds:
            raise self._refused("that is over, or beyond those of the plan")
        if not begin.train and (begin.round != rounds or self._ended or self.work.private):
            raise self._refused("of evaluation that is not at the end, or not the first there")
        self._there, self._next = frozenset(names), begin.round + 1
        self._ended = not begin.train

    def _refused(self, what: str) -> PeerError:
        text = f"the aggregator began a round {what}"
        return PeerError("ATL-HOR-082", text, party=self.party.aggregator)


def _nothing(update: Update) -> Update:
    """Return an update of the same form that adds nothing."""
    vectors = {name: np.zeros_like(vector) for name, vector in update.vectors.items()}
    return Update(vectors, dict.fromkeys(update.numbers, 0.0))


def sum_name(round_: int, train: bool) -> str:
    """Return what the updates of a sum are called, alike in every attempt."""
    return f"{'train' if train else 'evaluate'}-{round_}"
