"""What watches a training: progress, figures of its rounds, evaluation, checkpoints, early stop.

A callback is called with each round; one that returns True ends the training. Those that decide by
earlier rounds have ``saved`` and ``restore``, so that a resumed training decides as one that was
not broken off. A checkpoint stands last in the list: it then holds what the others made of a round.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from atoll.core.report import KeyValuePanel, LinePanel, Panel, Report, Series, TablePanel
from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.checkpoint import read_checkpoint, unusable, write_checkpoint
from atoll.learning.horizontal.training import Round

Measure = Callable[[State], Mapping[str, float]]


class Resumable(Protocol):
    """What a checkpoint holds beside the aggregator's state."""

    def saved(self) -> Vectors:
        """Return all that is needed to go on."""
        ...

    def restore(self, vectors: Vectors) -> None:
        """Take over what ``saved`` returned."""
        ...


@dataclass(frozen=True)
class Progress:
    """Writes a line for each ``every``-th round and for each failed one."""

    write: Callable[[str], None]
    rounds: int | None = None
    every: int = 1

    def __call__(self, done: Round) -> None:
        """Write this round's line."""
        if (done.number + 1) % self.every and not done.failed:
            return
        answers = done.answers
        whole = "" if self.rounds is None else f"/{self.rounds}"
        line = f"round {done.number + 1}{whole}: {answers.answered} of {done.chosen} answered"
        if answers.failures:
            counts = Counter(answers.failures.values())
            line += ", " + ", ".join(f"{n} {code}" for code, n in sorted(counts.items()))
        self.write(line + (", failed: too few" if done.failed else ""))


@dataclass
class RoundFigures:
    """Counts of a training, and the last ``most`` rounds one by one.

    ``failed`` are rounds that changed nothing; ``failures`` and ``refused`` count clients and
    answers by code over all rounds. Memory does not grow with the rounds.
    """

    most: int = 1000
    rounds: int = 0
    failed: int = 0
    chosen: int = 0
    answered: int = 0
    partial: int = 0
    seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    last: deque[tuple[int, int, int, float]] = field(default_factory=deque)

    def __call__(self, done: Round) -> None:
        """Count this round."""
        answers = done.answers
        self.rounds += 1
        self.failed += done.failed
        self.chosen += done.chosen
        self.answered += answers.answered
        self.partial += answers.partial
        self.seconds += answers.seconds
        self.failures.update(answers.failures.values())
        self.refused.update(answers.refused)
        self.last.append((done.number, done.chosen, answers.answered, self.seconds))
        while len(self.last) > self.most:
            self.last.popleft()

    def to_report(self, title: str = "Rounds") -> Report:
        """Give the counts, the failures by code and the answers of each round as panels."""
        values = {
            "rounds": self.rounds,
            "failed rounds": self.failed,
            "clients asked": self.chosen,
            "clients answered": self.answered,
            "turns cut short": self.partial,
            "seconds": self.seconds,
        }
        numbers = tuple(float(number) for number, *_ in self.last)
        series = (
            Series(name="asked", x=numbers, y=tuple(float(r[1]) for r in self.last)),
            Series(name="answered", x=numbers, y=tuple(float(r[2]) for r in self.last)),
        )
        panels: list[Panel] = [
            KeyValuePanel(title="Counts", values=dict(values)),
            LinePanel(title="Clients", x_label="round", y_label="clients", series=series),
        ]
        rows = [("client failed", *pair) for pair in sorted(self.failures.items())]
        rows += [("answer refused", *pair) for pair in sorted(self.refused.items())]
        if rows:
            columns = ("what", "code", "times")
            panels.append(TablePanel(title="Failures", columns=columns, rows=tuple(rows)))
        return Report(title=title, panels=tuple(panels))


@dataclass
class Evaluation:
    """Measures the state after each ``every``-th round; ``points`` holds the last ``most``."""

    measure: Measure
    every: int = 1
    most: int = 1000
    points: deque[tuple[int, Mapping[str, float]]] = field(default_factory=deque)

    def __call__(self, done: Round) -> None:
        """Measure, if it is this round's turn."""
        if done.state.round % self.every:
            return
        self.points.append((done.state.round, self.measure(done.state)))
        while len(self.points) > self.most:
            self.points.popleft()

    def to_report(self, title: str = "Evaluation") -> Report:
        """Give each figure over the rounds as a curve."""
        names = sorted({name for _, figures in self.points for name in figures})
        panels = [
            LinePanel(title=name, x_label="rounds", y_label=name, series=(self._series(name),))
            for name in names
        ]
        return Report(title=title, panels=tuple(panels))

    def _series(self, name: str) -> Series:
        at = [(float(n), float(figures[name])) for n, figures in self.points if name in figures]
        return Series(name=name, x=tuple(x for x, _ in at), y=tuple(y for _, y in at))


@dataclass
class EarlyStop:
    """Ends a training whose ``measure`` (the less, the better) has not fallen for a while.

    It must fall by more than ``least`` within ``patience`` measurements, one each ``every`` rounds.
    A value that is not finite counts as none.
    """

    measure: Callable[[State], float]
    patience: int = 5
    least: float = 0.0
    every: int = 1
    best: float = np.inf
    waited: int = 0

    def __call__(self, done: Round) -> bool:
        """Measure, if it is this round's turn, and return whether to stop."""
        if done.state.round % self.every:
            return False
        value = self.measure(done.state)
        if value < self.best - self.least:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    def saved(self) -> Vectors:
        """See ``Resumable.saved``."""
        return {"stop": np.array([self.best, self.waited])}

    def restore(self, vectors: Vectors) -> None:
        """See ``Resumable.restore``."""
        best, waited = vectors["stop"].tolist()
        self.best, self.waited = best, int(waited)


@dataclass(frozen=True)
class Checkpoint:
    """Writes the state, and what ``parts`` hold, to ``path`` after each ``every``-th round.

    ``parts`` are what else a training resumes with: simulated clients, flights, an early stop.
    ``subject`` names the training, so that another one does not resume from its file.
    """

    path: str | os.PathLike[str]
    parts: Mapping[str, Resumable] = field(default_factory=dict)
    every: int = 1
    subject: str = ""

    def __call__(self, done: Round) -> None:
        """Write, if it is this round's turn. Errors: ATL-TAB-025 the file cannot be written."""
        if done.state.round % self.every == 0:
            held = {name: part.saved() for name, part in self.parts.items()}
            write_checkpoint(self.path, done.state, held, self.subject)

    def resume(self) -> State:
        """Return the file's state, and have each part take over its own.

        Errors: ATL-HOR-039 the file is no checkpoint of this training.
        """
        saved = read_checkpoint(self.path, self.subject)
        if saved.parts.keys() != self.parts.keys():
            raise unusable(self.path, "it holds other parts than are to resume")
        for name, part in self.parts.items():
            part.restore(saved.parts[name])
        return saved.state
