"""A member of a population: it asks, trains on its own rows, counts, and sends; then stays away.

It knows no transport: ``Ask`` sends a message and returns the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from atoll.core.errors import AtollError, NetworkError, PeerError, UserError
from atoll.core.message import Message
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.algorithm import Vectors
from atoll.learning.horizontal.conditions import Condition
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.book import USED_TODAY, Book
from atoll.learning.horizontal.population.messages import PIECE
from atoll.learning.horizontal.population.work import Numbers, PopulationWork, wrong

M = TypeVar("M", bound=Message)
INTERRUPTED = "ATL-POP-028"
_SOON, _LONGEST = 0.2, 86400.0


class Ask(Protocol):
    """Sends a request and returns its answer, of one of these classes.

    Errors: those of ``channel.outbound.dialer``; ATL-COD-002 an answer of another class.
    """

    def __call__(self, what: str, message: Message, *kinds: type[M]) -> M:
        """Ask."""
        ...


@dataclass(frozen=True)
class _Answer:
    """An update as it leaves: only the same bytes are ever sent again."""

    round: int
    token: bytes
    values: Vector
    numbers: Numbers


@dataclass
class PopulationMember:
    """One client. ``data`` stays here; ``note`` is given a line for each thing that happened.

    ``trace`` is given the client's own failures; the aggregator is sent their codes alone.
    """

    work: PopulationWork
    data: ClientRows
    ask: Ask
    book: Book
    condition: Callable[[], Condition]
    note: Callable[[str], None]
    trace: Callable[[AtollError], None]
    secret: SecretRandom

    def __post_init__(self) -> None:
        self._pending: _Answer | None = None
        self._digest = self.work.terms.digest
        self._shown = self.work.terms.asked_conditions
        self._rows = self.data.digest()

    def visit(self) -> float:
        """Do what there is to do now, and return for how many seconds to stay away.

        Reveals: to the aggregator, what the terms state. Errors: ATL-POP-025 and 026 the terms are
        at their end, those of ``Ask``; what was not acknowledged is sent with the next visit.
        """
        if self._pending is not None:
            self._send(self._pending)
            return _SOON
        try:
            self.book.require()
        except UserError as error:
            if error.code != USED_TODAY:
                raise
            self.note("all tasks of the day are done")
            return self.book.seconds_to_tomorrow()
        ask = messages.CheckIn.of(self._digest, self.condition(), self._shown)
        answer: Message = self.ask("check-in", ask, messages.Stay, messages.Task)
        if isinstance(answer, messages.Task):
            return self._do(answer)
        if not isinstance(answer, messages.Stay):
            raise PeerError("ATL-COD-002", "the answer to a check-in is of another class")
        if answer.lacks:
            self.note(f"not fit for a task: {', '.join(answer.lacks)}")
        return min(_LONGEST, max(_SOON, answer.milliseconds / 1000))

    def _do(self, task: messages.Task) -> float:
        if self.book.spent(task.token):
            # An answer may have left before this process was killed; another one would be a second.
            self._report(task, INTERRUPTED)
            return _SOON
        try:
            sent = self.work.unpack(self._fetched(task))
            # Weights can be made to fail on some rows alone: a failure shows some of them, too.
            self.book.spend(task.token, self._rows)
            values, numbers = self._performed(sent)
        except NetworkError:
            raise
        except AtollError as error:
            self.trace(error)
            self._report(task, error.public)
            return _SOON
        self._pending = _Answer(task.round, task.token, values, numbers)
        self._send(self._pending)
        return _SOON

    def _performed(self, sent: Vectors) -> tuple[Vector, Numbers]:
        """Return the update; with noise a failure shows nothing, as noise hides that it was one."""
        try:
            return self.work.perform(self.data, sent, self.secret)
        except AtollError as error:
            if self.work.terms.noise is None:
                raise
            self.trace(error)
            return self.work.nothing(self.secret)

    def _fetched(self, task: messages.Task) -> Vector:
        whole = np.empty(self.work.sent.size, np.float32)
        for first in range(0, len(whole), PIECE):
            piece = self.ask("fetch", messages.Fetch(task.token, first), messages.Weights)
            wanted = whole[first : first + PIECE]
            if piece.first != first or len(piece.values) != len(wanted):
                raise wrong("a piece of the model has another size")
            wanted[:] = piece.values
        return whole

    def _send(self, answer: _Answer) -> None:
        code = ""
        for first in range(0, len(answer.values), PIECE):
            values = answer.values[first : first + PIECE]
            piece = messages.Piece(answer.token, first, values)
            code = self.ask("piece", piece, messages.Receipt).code
            if code:
                break
        else:
            last = messages.Finish(answer.token, answer.numbers)
            code = self.ask("finish", last, messages.Receipt).code
        self._pending = None
        self.book.note("refused" if code else "answered")
        self.note(f"round {answer.round + 1}: " + (f"not taken ({code})" if code else "answered"))

    def _report(self, task: messages.Task, code: str) -> None:
        self.book.note("failed")
        self.note(f"round {task.round + 1}: failed ({code})")
        self.ask("failed", messages.Failed(task.token, code), messages.Receipt)
