"""How many bytes a training sends, from the sizes that the codec gives its messages.

Between parties the channel counts what leaves; in a simulation nothing does, and these functions
state what would. Both are held together by tests.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from atoll.learning.horizontal.algorithm import ClientWork, Vectors
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.participation import Clients as Numbers
from atoll.learning.horizontal.parties.messages import (
    CODED_PIECE,
    PIECE,
    Change,
    Coded,
    Counts,
    Difference,
    Weights,
)
from atoll.learning.horizontal.parties.vectors import Piece
from atoll.learning.horizontal.postprocess.api import Bytes, Passage, Stage
from atoll.learning.horizontal.postprocess.chain import Chain, RoundRandom
from atoll.learning.horizontal.postprocess.down_link import down_link
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.sums import Update
from atoll.learning.horizontal.training import Answers, Round


def update_bytes(update: Update, chain: Chain, passage: Passage) -> int:
    """Return how many bytes of messages a client sends its update in, as the chain leaves it.

    Under a mask these are the ring elements of its vectors and numbers; the secure sum's keys,
    shares and signatures, which do not depend on the chain, come on top.
    """
    wire: dict[str, Bytes] = {}
    sent = chain.client(update, Passage(passage.public, passage.own, passage.kept, wire=wire))
    if any(link.stage == Stage.MASK for link in chain.links):
        return sum(vector.nbytes for vector in sent.vectors.values())
    counts = len(Counts(np.zeros(len(sent.numbers))).encode())
    if wire:
        return counts + sum(coded_bytes(len(data), Coded) for data in wire.values())
    return counts + values_bytes(sum(len(v) for v in sent.vectors.values()), Change)


def message_bytes(message: Vectors) -> int:
    """Return how many bytes of messages the vectors take that a round begins with, for a client."""
    return sum(values_bytes(len(vector), Weights) for vector in message.values())


def values_bytes(size: int, make: Piece) -> int:
    """Return the bytes of the messages of float32[size], ``Change`` or ``Weights``."""
    return _pieces(size, PIECE, make, "f4")


def coded_bytes(size: int, make: Piece) -> int:
    """Return the bytes of the messages of uint8[size], ``Coded`` or ``Difference``."""
    return _pieces(size, CODED_PIECE, make, "u1")


def _pieces(size: int, most: int, make: Piece, form: str) -> int:
    return sum(_piece(make, at, min(most, size - at), form) for at in range(0, size, most))


@functools.lru_cache(maxsize=256)
def _piece(make: Piece, first: int, count: int, form: str) -> int:
    return len(make(first, np.zeros(count, form)).encode())


def empty_update(clients: SimulatedClients, message: Vectors) -> Update:
    """Return the update of a client without rows: its form is that of all others."""
    nothing = ClientRows(np.empty((0, 1), np.float32), np.empty(0, np.int64))
    generator = np.random.default_rng(0)
    work = ClientWork(clients.model, message, {}, nothing, generator, clients.registered)
    return clients.algorithm.client(work).update


@dataclass
class CountedClients:
    """Simulated clients whose bytes are counted: those of all clients of a round together.

    Each client that is asked is sent the round's message, or behind a ``DownLink`` the differences
    that it lacks, and all of the state where that is less or it never took part; each that answers
    sends an update. ``down`` and ``up`` are totals; as a callback it adds each
    round's to its metrics.
    """

    clients: SimulatedClients
    down: int = 0
    up: int = 0
    _last: tuple[int, int] = field(default=(0, 0), init=False)
    _seen: dict[int, int] = field(default_factory=dict, init=False, repr=False)

    @property
    def registered(self) -> int:
        """See ``Clients.registered``."""
        return self.clients.registered

    def ask(self, round_: int, message: Vectors, chosen: Numbers) -> Answers:
        """See ``Clients.ask``."""
        down = sum(self._down(number, round_, message) for number in chosen.tolist())
        answers = self.clients.ask(round_, message, chosen)
        up = answers.answered * self._up(round_, message) if answers.answered else 0
        self._last = (down, up)
        self.down += down
        self.up += up
        return answers

    def take_back(self) -> None:
        """See ``Restoring.take_back``."""
        self.clients.take_back()

    def __call__(self, done: Round) -> None:
        """Add the round's bytes to its metrics."""
        done.metrics["bytes down"], done.metrics["bytes up"] = map(float, self._last)

    def _up(self, round_: int, message: Vectors) -> int:
        public = RoundRandom(self.clients.public, round_)
        passage = Passage(public, np.random.default_rng(0))
        return update_bytes(empty_update(self.clients, message), self.clients.chain, passage)

    def _down(self, number: int, round_: int, message: Vectors) -> int:
        link = down_link(self.clients.algorithm)
        last = self._seen.get(number)
        self._seen[number] = round_
        if link is None:
            return message_bytes(message)
        size = self.clients.model.layout.size
        held = {name: v for name, v in message.items() if len(v) == size}
        rest = message_bytes({name: v for name, v in message.items() if len(v) != size})
        whole = message_bytes(held)
        if last is None:
            return rest + whole
        one = sum(coded_bytes(link.coder.coded_bytes(len(v)), Difference) for v in held.values())
        return rest + min(whole, (round_ - last) * one)
