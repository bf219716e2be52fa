"""Simulated clients on a simulated clock: rounds in which the slow are late and some vanish.

Who answers when follows from the traces before anything is trained, so only what enters a round is
computed, and any number of threads gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from atoll.core.clock import ManualClock
from atoll.learning.horizontal.algorithm import Algorithm, Vectors
from atoll.learning.horizontal.conditions import Eligibility
from atoll.learning.horizontal.local import LocalWork
from atoll.learning.horizontal.participation import Clients as Numbers
from atoll.learning.horizontal.rounds import Closing, Collector
from atoll.learning.horizontal.selection.pool import Flags
from atoll.learning.horizontal.simulation import SimulatedClients, Task, trainings_of
from atoll.learning.horizontal.traces import Traces
from atoll.learning.horizontal.traffic import empty_update
from atoll.learning.horizontal.training import Answers

VANISHED, SLOW = "ATL-HOR-037", "ATL-HOR-038"
MOST_LATE = 4096
CLOCK, LATE_TIMES, LATE_ROUNDS, LATE_CLIENTS = "clock", "late.time", "late.round", "late.client"
_KEPT = "client."
_NO_RULES = Eligibility()


@dataclass(frozen=True)
class Timing:
    """When one turn ends, in seconds from its beginning; infinity where it does not.

    ``arrives`` is when the answer is there, ``lost`` when the client is known to be gone,
    ``returns`` when an answer arrives after that. ``steps`` bounds a turn that is cut short.
    """

    number: int
    arrives: float = math.inf
    lost: float = math.inf
    returns: float = math.inf
    steps: int | None = None
    repeated: bool = False


@dataclass
class TimedClients:
    """Simulated clients whose turns take time, on ``clock`` (seconds).

    A turn takes the bytes of values there and back over the client's link (of whole messages, also
    behind a ``DownLink``, since it is not known what a client missed) and ``steps(number)`` local
    steps (by default as many as the algorithm takes over its rows; ``rows`` gives their number
    without the rows). A client that has vanished is known to be gone ``notice`` seconds later. With
    ``partial`` and a limit, a client that would be late takes the steps that fit, and its update
    counts with them. A round that found no client lasts ``pause`` seconds.
    """

    clients: SimulatedClients
    traces: Traces
    closing: Closing = field(default_factory=Closing)
    clock: ManualClock = field(default_factory=ManualClock)
    eligibility: Eligibility = field(default_factory=Eligibility)
    partial: bool = False
    notice: float = 30.0
    pause: float = 60.0
    rows: Callable[[int], int] | None = None
    steps: Callable[[int], int] | None = None
    _ups: dict[tuple[int, ...], int] = field(default_factory=dict, init=False, repr=False)
    _late: list[tuple[float, int, int]] = field(default_factory=list, init=False, repr=False)

    @property
    def registered(self) -> int:
        """See ``Clients.registered``."""
        return self.clients.registered

    def eligible(self, numbers: Numbers) -> Flags:
        """Return bool[n]: who is online now, in a condition that the rules permit."""
        now = self.clock.now()
        flags = self.traces.online(numbers, now)
        if self.eligibility == _NO_RULES:
            return flags
        for at in np.flatnonzero(flags).tolist():
            condition = self.traces.condition(int(numbers[at]), now)
            flags[at] = self.eligibility.permits(condition)
        return flags

    def ask(self, round_: int, message: Vectors, chosen: Numbers) -> Answers:
        """Let a round pass on the clock, and train those whose answers enter it."""
        start = self.clock.now()
        collector = Collector(round_, chosen)
        turns = [self.timing(n, round_, start, message) for n in chosen.tolist()]
        ended = self._closes(turns)
        self._hand_in_late(collector, start + ended)
        entered = self._entered(turns, ended, collector, round_)
        tasks = [Task(t.number, round_, message, t.steps) for t in turns if t.number in entered]
        answers = self.clients.work(tasks, round_)
        self._keep_late(turns, entered, round_, start)
        self.clock.advance_to(start + ended)
        missed = {
            t.number: VANISHED if t.lost <= ended else SLOW
            for t in turns
            if t.number not in entered
        }
        return replace(
            answers,
            failures={**missed, **answers.failures},
            reports={
                number: replace(report, seconds=entered[number])
                for number, report in answers.reports.items()
            },
            seconds=ended,
            refused=dict(collector.refused),
            partial=sum(task.steps is not None for task in tasks),
        )

    def timing(self, number: int, turn: int, moment: float, message: Vectors) -> Timing:
        """Return when a client's turn that begins at ``moment`` ends."""
        profile = self.traces.profile(number)
        stays = self.traces.stays(number, moment)
        if stays <= 0 or not profile.down or not profile.up:
            return Timing(number, lost=self.notice)
        chance = self.traces.chance(number, turn)
        message = self.clients.algorithm.sent_to(message, number)
        down = sum(vector.nbytes for vector in message.values())
        up = self._up(message)
        fixed = down / profile.down + up / profile.up
        steps, whole = self._fitting(fixed, profile.seconds_per_step, self._steps(number))
        if chance.vanishes is not None and chance.vanishes * whole <= stays:
            return Timing(number, lost=chance.vanishes * whole + self.notice)
        if whole > stays:
            # It goes offline at work, and goes on when it is back.
            back = self.traces.returns(number, moment + stays) - moment
            return Timing(number, lost=stays + self.notice, returns=back + whole - stays)
        return Timing(number, whole, steps=steps, repeated=chance.repeated)

    def _up(self, message: Vectors) -> int:
        """Return the bytes of values of an update: it follows from the message's form."""
        form = tuple(len(vector) for _, vector in sorted(message.items()))
        if form not in self._ups:
            vectors = empty_update(self.clients, message).vectors
            sizes = [self.clients.chain.bytes(len(vector), 1) for vector in vectors.values()]
            self._ups[form] = sum(sizes)
        return self._ups[form]

    def take_back(self) -> None:
        """See ``Restoring.take_back``."""
        self.clients.take_back()

    def saved(self) -> Vectors:
        """Return the clock, the answers under way and what clients keep, for a checkpoint."""
        late = np.array(self._late, dtype=np.float64).reshape(-1, 3)
        kept = {_KEPT + name: vector for name, vector in self.clients.saved().items()}
        names = (LATE_TIMES, LATE_ROUNDS, LATE_CLIENTS)
        columns = dict(zip(names, late.T.copy(), strict=True))
        return {CLOCK: np.array([self.clock.now()]), **columns, **kept}

    def restore(self, vectors: Vectors) -> None:
        """Take over what ``saved`` returned; the clock only moves forward."""
        self.clock.advance_to(float(vectors[CLOCK][0]))
        columns = [vectors[name].tolist() for name in (LATE_TIMES, LATE_ROUNDS, LATE_CLIENTS)]
        self._late = [(time, int(r), int(n)) for time, r, n in zip(*columns, strict=True)]
        kept = {n.removeprefix(_KEPT): v for n, v in vectors.items() if n.startswith(_KEPT)}
        self.clients.restore(kept)

    def _closes(self, turns: list[Timing]) -> float:
        if not turns:
            return self.pause
        arrivals = [t.arrives for t in turns if t.lost == math.inf]
        losses = [t.lost for t in turns if t.lost < math.inf]
        return self.closing.closes_at(np.array(arrivals), np.array(losses))

    def _entered(
        self, turns: list[Timing], ended: float, collector: Collector, round_: int
    ) -> dict[int, float]:
        """Return when the answers that enter arrive, by client, the first ones first."""
        entered: dict[int, float] = {}
        most = self.closing.first or len(turns)
        for turn in sorted(turns, key=lambda t: (t.arrives, t.number)):
            if turn.arrives > ended or len(entered) >= most:
                break
            if collector.admit(round_, turn.number):
                entered[turn.number] = turn.arrives
            if turn.repeated:
                collector.admit(round_, turn.number)
        collector.close()
        return entered

    def _hand_in_late(self, collector: Collector, until: float) -> None:
        for _, round_, number in (late for late in self._late if late[0] <= until):
            collector.admit(round_, number)
        self._late = [late for late in self._late if late[0] > until]

    def _keep_late(
        self, turns: list[Timing], entered: dict[int, float], round_: int, start: float
    ) -> None:
        late = [
            (start + min(t.arrives, t.returns), round_, t.number)
            for t in turns
            if t.number not in entered and min(t.arrives, t.returns) < math.inf
        ]
        self._late = (self._late + late)[-MOST_LATE:]

    def _fitting(self, fixed: float, step: float, steps: int) -> tuple[int | None, float]:
        """Return the bound on a turn's steps, None for a whole turn, and the turn's seconds."""
        whole, limit = fixed + steps * step, self.closing.limit
        if not self.partial or limit is None or whole <= limit:
            return None, whole
        fit = math.floor((limit - fixed) / step)
        fit -= fixed + fit * step > limit
        return (fit, fixed + fit * step) if fit >= 1 else (None, whole)

    def _steps(self, number: int) -> int:
        if self.steps is not None:
            return self.steps(number)
        try:
            rows = self.rows(number) if self.rows else len(self.clients.data(number))
        except Exception:
            # It fails as soon as it begins; its own turn then states why.
            return 0
        return planned_steps(self.clients.algorithm, rows)


def planned_steps(algorithm: Algorithm, rows: int) -> int:
    """Return how many local steps a client of so many rows takes, over all its local trainings."""
    steps = [_steps_of(local, rows) for local in trainings_of(algorithm)]
    return sum(steps) if steps else int(rows > 0)


def _steps_of(local: LocalWork, rows: int) -> int:
    batch = rows if local.batch_size is None else local.batch_size
    steps = local.epochs * math.ceil(rows / batch) if rows else 0
    return steps if local.steps is None else min(steps, local.steps)
