"""A client of a step: it sums over its own rows what the aggregator asks for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from atoll.channel.own_seed import own_random
from atoll.channel.party import Party
from atoll.core.errors import PeerError
from atoll.core.random import DerivedRandom
from atoll.learning.horizontal.algorithm import ClientWork, Vectors
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties import vectors
from atoll.learning.horizontal.parties.adding import Sum, digest
from atoll.learning.horizontal.parties.agreement import agree
from atoll.learning.horizontal.parties.messages import Ask, Values
from atoll.learning.horizontal.parties.step_work import StepWork
from atoll.learning.horizontal.postprocess.api import Passage
from atoll.learning.horizontal.postprocess.chain import RoundRandom
from atoll.learning.horizontal.sums import Update


@dataclass
class StepClient:
    """One client over a step. ``data`` stays here, as does what it keeps between rounds."""

    party: Party
    work: StepWork
    data: ClientRows
    kept: Vectors = field(default_factory=dict)
    # The rounds of which an own value did not fit the sum, and was cut: no one else sees it.
    cut: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The round that may come next, who may be in it, and what was asked for how often.
        self._next = 0
        self._there = frozenset(self.party.clients)
        self._asked: Counter[str] = Counter()
        self._former: dict[str, Vector] = {}

    def run(self) -> Vectors:
        """Take part until the end; return what the aggregator sent then, float64 each.

        Reveals: to the aggregator, each round's sums over own rows, or under masks over those of at
        least ``minimum`` clients alone. Errors: ATL-HOR-081, ATL-HOR-082, ATL-HOR-100, ATL-HOR-170,
        those of the step's ``client`` and of ``Adding``.
        """
        party, step = self.party, self.work.step
        self._resume()
        while True:
            ask = party.channel.receive(party.aggregator, "ask", Ask)
            self._check(ask)
            sent = self._received(ask)
            if ask.last:
                agree(party, digest(sent, exact=True), self._there, self.work.minimum)
                return sent
            self._count(sent)
            name = sum_name(ask.round)
            of = Sum(name, name, ask.names, digest(sent, exact=True))
            self.work.adding.hand_in(party, of, self.update(ask.round, sent))
            if self.work.keeps(ask.round + 1):
                self._keep(ask.round + 1)
            party.progress("summing", ask.round + 1, step.most_rounds)
            party.cancel.check()

    def update(self, round_: int, sent: Vectors) -> Update:
        """Return this client's update of a round, as it leaves it."""
        party, clients = self.party, self.party.clients
        number = clients.index(party.name)
        generator = self._own.generator(f"client {number}", round_, "training")
        share = ClientWork(self.work.model, sent, self.kept, self.data, generator, len(clients))
        done = self.work.step.client(share)
        self.kept = done.kept
        if done.cut:
            self.cut[round_] = done.cut
        passage = Passage(RoundRandom(party.public_rng, round_), generator)
        if self.work.adding.mask is None:
            return self.work.chain.client(done.update.check(), passage)
        # What the aggregator asks for may not show in an error of one client (``Client.cut``).
        passage.cut = []
        update = self.work.chain.client(done.update, passage)
        if passage.cut:
            self.cut.setdefault(round_, passage.cut[0])
        return update

    @cached_property
    def _own(self) -> DerivedRandom:
        """What this client draws by: no one else knows which of its rows are in a sum."""
        return own_random(self.party, "horizontal", self.data.arrays)

    def _resume(self) -> None:
        resumed = self.party.resume()
        if resumed is not None:
            self._next, state = resumed
            self.kept, self._asked = state["kept"], Counter(state["asked"])

    def _keep(self, rounds: int) -> None:
        lasting = {name: self.kept[name] for name in self.work.step.lasting if name in self.kept}
        self.party.checkpoint(rounds, {"kept": lasting, "asked": dict(self._asked)})

    def _check(self, ask: Ask) -> None:
        """Refuse a round that is not of the plan, and note this one. Errors: ATL-HOR-082."""
        parts = ask.parts
        if list(parts) != sorted(set(parts)) or not len(parts) == len(ask.sizes) == len(ask.kept):
            raise self._refused("whose parts do not fit each other")
        if sum(ask.sizes) > self.work.message:
            raise self._refused("with more values than a message of this step has")
        if ask.last:
            return
        names = ask.names
        known = list(names) == sorted(set(names)) and self._there.issuperset(names)
        if not known or self.party.name not in names or len(names) < self.work.minimum:
            raise self._refused("with too few clients, or others than those that were left")
        if not self._next <= ask.round < self.work.step.most_rounds:
            raise self._refused("that is over, or beyond those of the plan")
        self._there, self._next = frozenset(names), ask.round + 1

    def _received(self, ask: Ask) -> dict[str, Vector]:
        """Return the vectors that follow: of each, what was sent before, then what is new."""
        party, sent = self.party, dict[str, Vector]()
        for name, size, kept in zip(ask.parts, ask.sizes, ask.kept, strict=True):
            before = self._former.get(name, np.empty(0))
            if kept > min(size, len(before)):
                raise self._refused("that refers to what was not sent")
            new = vectors.receive(
                party.channel, party.aggregator, f"ask/{name}", Values, size - kept, np.float64
            )
            sent[name] = np.concatenate([before[:kept], new])
        self._former |= sent
        return sent

    def _count(self, sent: Vectors) -> None:
        """Count what is asked for: the plan states how often that may be. Errors: ATL-HOR-082."""
        what, most = self.work.step.asked(sent)
        self._asked[what] += 1
        if self._asked[what] > most:
            raise self._refused(f"that asks for {what} more than {most} times")

    def _refused(self, what: str) -> PeerError:
        text = f"the aggregator began a round {what}"
        return PeerError("ATL-HOR-082", text, party=self.party.aggregator)


def sum_name(round_: int) -> str:
    """Return what the sum of a round is called, alike in every attempt."""
    return f"round-{round_}"
