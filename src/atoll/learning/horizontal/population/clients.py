"""The clients of a population as ``training.Clients``: one thread trains, another serves visits.

``ask`` waits while the server's thread hands out tasks and takes updates in pieces; both hold one
lock, briefly. Sums are made outside it, in the order of the members' numbers.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

import numpy as np
from pydantic import ValidationError

from atoll.core.clock import Clock
from atoll.core.errors import AtollError, CancelledError, PeerError, UserError
from atoll.learning.horizontal.algorithm import Vectors
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.attendance import Attendance, Visit
from atoll.learning.horizontal.population.coordinator import Coordinator
from atoll.learning.horizontal.population.messages import PIECE
from atoll.learning.horizontal.population.work import Numbers, PopulationWork, wrong
from atoll.learning.horizontal.rounds import LATE
from atoll.learning.horizontal.selection.pool import Clients, Flags, Floats
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


class Outbound:
    """What members send and are sent, by ``Attendance``'s rules; kinds of it train on that."""

    def __init__(
        self,
        work: PopulationWork,
        coordinator: Attendance,
        clock: Clock,
        needed: int,
        memory: int = MOST_UPDATE_BYTES,
    ) -> None:
        """Make it; updates may take ``needed`` bytes at a time. Errors: ATL-POP-010."""
        self._work, self._attendance, self._clock = work, coordinator, clock
        self._changed = threading.Condition()
        self._models: dict[int, Vector] = {}
        self._uploads: dict[int, _Upload] = {}
        self._updates: dict[int, Update] = {}
        self._stopped = False
        if needed > memory:
            raise UserError(
                "ATL-POP-010",
                f"the updates of a round may take {needed} bytes of memory, and {memory} are "
                "allowed",
                hint="ask fewer clients, or allow more (memory)",
            )

    @property
    def registered(self) -> int:
        """How many members there ever were, numbered from 0."""
        with self._changed:
            return self._attendance.registered

    def stop(self) -> None:
        """End the open round without a result, and every wait."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def register(self, number: int) -> None:
        """Count a new member."""
        with self._changed:
            self._attendance.register(number)

    def end(self, number: int) -> None:
        """Take a member out for good, and what it has sent that is in no sum yet."""
        with self._changed:
            self._attendance.end(number)
            self._uploads.pop(number, None)
            self._updates.pop(number, None)
            self._changed.notify_all()

    @property
    def sizes(self) -> tuple[int, int]:
        """How many values a client of a task is sent, and how many it sends."""
        return self._work.sent.size, self._work.form.size

    @property
    def least_pace(self) -> float:
        """The seconds that a client stays away at least."""
        return self._attendance.rules.pace.least

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
            visit = self._attendance.check_in(number, condition, now, slowed)
            left = self._attendance.seconds_left(number, now)
            self._changed.notify_all()
        return _answer(visit, left)

    def unheld(self, number: int) -> str:
        """Return the code for pieces of a member that has no task, empty for one that has."""
        with self._changed:
            held = self._attendance.at_work(number)
            return "" if held else self._attendance.refusal(number)

    def fetch(self, number: int, ask: messages.Fetch) -> messages.Weights:
        """Return a piece of the model to the client of a task. Errors: ATL-HOR-034 it has none."""
        with self._changed:
            round_ = self._attendance.round_of(number)
            model = None if round_ is None else self._models.get(round_)
            if model is None or not self._attendance.holds(number, ask.token):
                code = self._attendance.refusal(number, ask.token)
                raise PeerError(code, "this task is over")
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
            if not self._attendance.holds(number, piece.token):
                return self._attendance.refusal(number, piece.token)
            upload = self._uploads.get(number)
            if upload is None or upload.token != piece.token:
                upload = _Upload(piece.token, np.empty(size, np.float32))
                self._uploads[number] = upload
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
            upload = self._uploads.get(number)
            whole = upload is not None and upload.filled == len(upload.values)
            held = self._attendance.holds(number, last.token)
        update = None
        if held and whole and upload is not None:
            try:
                update = self._received(number, upload.values, last.numbers)
            except AtollError as error:
                return self._failed(number, last.token, error.code)
        elif held:
            return self._failed(number, last.token, "ATL-POP-003")
        with self._changed:
            code = self._attendance.answer(number, last.token, self._clock.now())
            if not code and update is not None:
                self._uploads.pop(number, None)
                self._updates[number] = update
            self._changed.notify_all()
        return code

    def failed(self, number: int, report: messages.Failed) -> str:
        """Note a client's own failure; return a code where there was no task to lose."""
        code = report.code if _CODE.fullmatch(report.code) else "ATL-POP-003"
        return "" if self._failed(number, report.token, code) == code else LATE

    def _failed(self, number: int, token: bytes, code: str) -> str:
        with self._changed:
            lost = self._attendance.fail(number, token, code)
            if lost:
                self._uploads.pop(number, None)
            self._changed.notify_all()
        return code if lost else LATE

    def _received(self, number: int, values: Vector, numbers: Numbers) -> Update:
        """Return a member's update as it is summed. Errors: ATL-POP-003."""
        return self._work.received(values, numbers)


class OutboundClients(Outbound):
    """Members that train in rounds; see ``Coordinator``.

    With ``by_rows`` clients are drawn by the rows that each stated last, and each update then
    counts alike: see ``PopulationWork.alike``.
    """

    def __init__(
        self,
        work: PopulationWork,
        coordinator: Coordinator,
        clock: Clock,
        asked: int,
        memory: int = MOST_UPDATE_BYTES,
        *,
        by_rows: bool = False,
    ) -> None:
        """Make it; ``asked`` is how many clients a round asks at most. Errors: ATL-POP-010."""
        super().__init__(work, coordinator, clock, 4 * asked * work.form.size, memory)
        self._coordinator = coordinator
        self._by_rows = by_rows
        self._rows = np.empty(0)

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
            self._models = {round_: model}
            self._coordinator.begin(round_, chosen, self._clock.now())
            while not self._coordinator.over(self._clock.now()):
                if self._stopped:
                    break
                left = self._coordinator.next_moment(self._clock.now())
                self._changed.wait(min(max(left, 0.01), 1.0))
            closed = self._coordinator.close(self._clock.now())
            done, self._models = self._updates, {}
            self._updates, self._uploads = {}, {}
            if self._stopped:
                raise CancelledError("ATL-POP-011", "the population was stopped within a round")
        updates = [done[number] for number in closed.answered]
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

    def rows(self, numbers: Clients) -> Floats:
        """Return the rows of members as each stated them last, float64[n].

        Who has not answered yet counts as the mean of those that have.
        """
        with self._changed:
            self._grow(self._coordinator.registered)
            known = self._rows[np.isfinite(self._rows)]
            rows = self._rows[numbers]
        return np.where(np.isfinite(rows), rows, known.mean() if len(known) else 1.0)

    def _received(self, number: int, values: Vector, numbers: Numbers) -> Update:
        update = super()._received(number, values, numbers)
        if not self._by_rows:
            return update
        with self._changed:
            self._grow(number + 1)
            self._rows[number] = self._work.weight(update)
        return self._work.alike(update)

    def _grow(self, count: int) -> None:
        if count > len(self._rows):
            grown = np.full(max(64, 2 * count), np.nan)
            grown[: len(self._rows)] = self._rows
            self._rows = grown


def _answer(visit: Visit, left: float) -> messages.Stay | messages.Task:
    if visit.task is None:
        return messages.Stay(int(1000 * visit.wait), visit.lacks)
    return messages.Task(visit.task.round, visit.task.token, int(left))
