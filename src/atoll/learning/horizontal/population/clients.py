"""The clients of a population as ``training.Clients``: one thread trains, another serves visits.

``ask`` waits while the server's thread hands out tasks and takes updates in pieces; both hold one
lock, briefly. Sums are made outside it, in the order of the members' numbers.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

import numpy as np
from pydantic import ValidationError

from atoll.core.clock import Clock
from atoll.core.errors import AtollError, CancelledError, PeerError, UserError
from atoll.learning.horizontal.algorithm import Vectors
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.coordinator import Coordinator, Visit
from atoll.learning.horizontal.population.messages import PIECE
from atoll.learning.horizontal.population.work import PopulationWork, wrong
from atoll.learning.horizontal.rounds import LATE
from atoll.learning.horizontal.selection.pool import Clients, Flags
from atoll.learning.horizontal.sums import Update, total
from atoll.learning.horizontal.training import Answers

MOST_UPDATE_BYTES = 8 << 30
_CODE = re.compile(r"ATL-[A-Z]{3}-[0-9]{3}")


@dataclass
class _Upload:
    """An update on its way: float32[size], filled from the front."""

    token: bytes
    values: Vector
    filled: int = 0


@dataclass
class _Round:
    """The model that clients of the open round are sent, and what they sent."""

    number: int
    model: Vector
    uploads: dict[int, _Upload] = field(default_factory=dict)
    updates: dict[int, Update] = field(default_factory=dict)


class OutboundClients:
    """Members that ask from outside, whenever they like; see ``Coordinator`` for the rules."""

    def __init__(
        self,
        work: PopulationWork,
        coordinator: Coordinator,
        clock: Clock,
        asked: int,
        memory: int = MOST_UPDATE_BYTES,
    ) -> None:
        """Make it; ``asked`` is how many clients a round asks at most. Errors: ATL-POP-010."""
        self._work, self._coordinator, self._clock = work, coordinator, clock
        self._changed = threading.Condition()
        self._round: _Round | None = None
        self._stopped = False
        needed = 4 * asked * work.form.size
        if needed > memory:
            raise UserError(
                "ATL-POP-010",
                f"the updates of a round may take {needed} bytes of memory, and {memory} are "
                "allowed",
                hint="ask fewer clients, or allow more (memory)",
            )

    # --- the training's thread -------------------------------------------------------------

    @property
    def registered(self) -> int:
        """How many members there ever were, numbered from 0."""
        with self._changed:
            return self._coordinator.registered

    def eligible(self, numbers: Clients) -> Flags:
        """Return which members may be drawn now, bool[n]: those due back in a fit condition."""
        with self._changed:
            return self._coordinator.present(numbers, self._clock.now())

    def gather(self, wanted: int, fewest: int, pause: float = 1.0) -> bool:
        """Wait until ``wanted`` members are present, or after a while ``fewest``.

        Returns False if the population was stopped meanwhile.
        """
        with self._changed:
            began = self._clock.now()
            while not self._stopped:
                now = self._clock.now()
                there = self._coordinator.count_present(now)
                waited = now - began >= self._coordinator.rules.window
                if there >= wanted or (there >= fewest and waited):
                    return True
                self._changed.wait(pause)
            return False

    def ask(self, round_: int, message: Vectors, chosen: Clients) -> Answers:
        """Have the chosen members train; see ``training.Clients``. Errors: ATL-POP-011 stopped."""
        model = self._work.pack(message)
        with self._changed:
            self._round = _Round(round_, model)
            self._coordinator.begin(round_, chosen, self._clock.now())
            while not self._coordinator.over(self._clock.now()):
                if self._stopped:
                    break
                left = self._coordinator.next_moment(self._clock.now())
                self._changed.wait(min(max(left, 0.01), 1.0))
            closed = self._coordinator.close(self._clock.now())
            done, self._round = self._round, None
            if self._stopped:
                raise CancelledError("ATL-POP-011", "the population was stopped within a round")
        updates = [done.updates[number] for number in closed.answered]
        found = total(updates)
        if found is not None:
            found = self._work.added(found, len(updates))
        return Answers(
            found,
            len(updates),
            dict(closed.failures),
            seconds=closed.seconds,
            refused=closed.refused,
        )

    def stop(self) -> None:
        """End the open round without a result, and every wait."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    # --- the server's thread ---------------------------------------------------------------

    def register(self, number: int) -> None:
        """Count a new member."""
        with self._changed:
            self._coordinator.register(number)

    def end(self, number: int) -> None:
        """Take a member out for good, and what it has sent of an open task."""
        with self._changed:
            self._coordinator.end(number)
            if self._round is not None:
                self._round.uploads.pop(number, None)
            self._changed.notify_all()

    @property
    def sizes(self) -> tuple[int, int]:
        """How many values a client of a task is sent, and how many it sends."""
        return self._work.sent.size, self._work.form.size

    @property
    def least_pace(self) -> float:
        """The seconds that a client stays away at least."""
        return self._coordinator.rules.pace.least

    def check_in(
        self, number: int, ask: messages.CheckIn, slowed: float = 1.0
    ) -> messages.Stay | messages.Task:
        """Answer a member, which stays away ``slowed`` times as long as others.

        Errors: ATL-POP-003 a condition without sense, ATL-POP-004.
        """
        try:
            condition = ask.condition()
        except ValidationError as error:
            raise wrong("its condition makes no sense") from error
        with self._changed:
            now = self._clock.now()
            visit = self._coordinator.check_in(number, condition, now, slowed)
            left = self._coordinator.seconds_left(now)
            self._changed.notify_all()
        return _answer(visit, left)

    def fetch(self, number: int, ask: messages.Fetch) -> messages.Weights:
        """Return a piece of the model to the client of a task. Errors: ATL-HOR-034 it has none."""
        with self._changed:
            if self._round is None or not self._coordinator.holds(number, ask.token):
                raise PeerError(LATE, "this task is over")
            model = self._round.model
        if ask.first >= len(model) or ask.first % PIECE:
            raise wrong("there is no such piece of the model")
        return messages.Weights(ask.first, model[ask.first : ask.first + PIECE])

    def take(self, number: int, piece: messages.Piece) -> str:
        """Keep a piece of an update; return the code of its refusal, empty if it was taken.

        A piece may come again, as the answer to it may be lost; none may be left out.
        """
        size = self._work.form.size
        end = piece.first + len(piece.values)
        with self._changed:
            if self._round is None or not self._coordinator.holds(number, piece.token):
                return LATE
            upload = self._round.uploads.get(number)
            if upload is None or upload.token != piece.token:
                upload = _Upload(piece.token, np.empty(size, np.float32))
                self._round.uploads[number] = upload
            if piece.first > upload.filled or end > size or not len(piece.values):
                return self._failed(number, piece.token, "ATL-POP-003")
            upload.values[piece.first : end] = piece.values
            upload.filled = max(upload.filled, end)
        return ""

    def finish(self, number: int, last: messages.Finish) -> str:
        """Count an update, once; return the code of its refusal, empty if it entered.

        Errors: ATL-POP-004.
        """
        with self._changed:
            upload = None if self._round is None else self._round.uploads.get(number)
            whole = upload is not None and upload.filled == len(upload.values)
            held = self._coordinator.holds(number, last.token)
        update = None
        if held and whole and upload is not None:
            try:
                update = self._work.received(upload.values, last.numbers)
            except AtollError as error:
                return self._failed(number, last.token, error.code)
        elif held:
            return self._failed(number, last.token, "ATL-POP-003")
        with self._changed:
            code = self._coordinator.answer(number, last.token, self._clock.now())
            if not code and update is not None and self._round is not None:
                self._round.uploads.pop(number, None)
                self._round.updates[number] = update
            self._changed.notify_all()
        return code

    def failed(self, number: int, report: messages.Failed) -> str:
        """Note a client's own failure; return a code where there was no task to lose."""
        code = report.code if _CODE.fullmatch(report.code) else "ATL-POP-003"
        return "" if self._failed(number, report.token, code) == code else LATE

    def _failed(self, number: int, token: bytes, code: str) -> str:
        with self._changed:
            lost = self._coordinator.fail(number, token, code)
            if self._round is not None and lost:
                self._round.uploads.pop(number, None)
            self._changed.notify_all()
        return code if lost else LATE


def _answer(visit: Visit, left: float) -> messages.Stay | messages.Task:
    if visit.task is None:
        return messages.Stay(int(1000 * visit.wait), visit.lacks)
    return messages.Task(visit.task.round, visit.task.token, int(left))
