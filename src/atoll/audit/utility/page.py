"""The three curves as one page of reports, and their figures as tables of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atoll.audit.utility import noise, traffic, waiting
from atoll.audit.utility.task import Curve, Size
from atoll.core.report import KeyValuePanel, LinePanel, Report, TablePanel, TextPanel

TITLE = "What privacy, bytes and time are worth in accuracy"
BYTES_TARGET, SECONDS_TARGET = 0.9, 0.85
Cell = str | float | int | None
_EPSILON = (
    "The ε of central noise is against those who read the model: the clients of a round are drawn "
    "in secret, which amplifies, and the aggregator is trusted. The ε of distributed and of local "
    "noise is against the aggregator as well, who sees who takes part: nothing amplifies. "
    "Distributed noise is shared out among the clients under a masked sum, so that 160 of the "
    "200 clients of a round make up all of it; each client of local noise adds all of it itself. "
    "Noise is drawn afresh by each run, so figures move a little. Steps and clip are the same for "
    "all; they were chosen on these digits."
)
_SECONDS = (
    "Seconds pass on a simulated clock: a client needs its steps and the bytes of values there and "
    "back. A step's seconds follow a Pareto distribution with the median 1 and the tail index 1.1, "
    "so that of 20 clients one is often a hundred times slower than most."
)


@dataclass(frozen=True)
class Table:
    """Columns and rows of figures."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def markdown(self) -> str:
        """Return the table as a page of the guide has it."""
        head = f"| {' | '.join(self.columns)} |\n|{'---|' * len(self.columns)}\n"
        return head + "".join(f"| {' | '.join(map(_text, row))} |\n" for row in self.rows)


@dataclass(frozen=True)
class Utility:
    """All curves of one size, and what is drawn of them."""

    size: Size
    epsilon: Sequence[Curve]
    bytes: Sequence[Curve]
    seconds: Sequence[Curve]

    @classmethod
    def measured(cls, size: Size) -> Utility:
        """Train everything: about two minutes of one core for the whole size."""
        return cls(size, noise.curves(size), traffic.curves(size), waiting.curves(size))

    def lines(self) -> dict[str, object]:
        """Return all figures as plain values."""
        parts = {"epsilon": self.epsilon, "bytes": self.bytes, "seconds": self.seconds}
        found = {name: [curve.line() for curve in curves] for name, curves in parts.items()}
        return {"seeds": list(self.size.seeds), **found}

    def tables(self) -> dict[str, Table]:
        """Return the tables of all figures by what they are against."""
        return {
            "ε": _epsilon_table(self.epsilon),
            "bytes": _bytes_table(self.bytes),
            "seconds": _seconds_table(self.seconds),
        }

    def reports(self) -> list[Report]:
        """Return a report for each of the three."""
        size, tables = self.size, self.tables()
        seeds = ", ".join(map(str, size.seeds))
        return [
            _report(
                "ε",
                {
                    "table": "digits (scikit-learn), one at each client",
                    "clients": noise.CLIENTS,
                    "clients of a round": noise.COUNT,
                    "rounds": size.noisy_rounds,
                    "clip": noise.NORM,
                    "δ": f"{noise.DELTA:g}",
                    "seeds": seeds,
                },
                _chart("ε of one client, all rounds together", self.epsilon),
                tables["ε"],
                TextPanel(title="Whom ε is against", text=_EPSILON),
            ),
            _report(
                "bytes",
                {
                    "table": "digits (scikit-learn), unevenly at the owners (Dirichlet 0.5)",
                    "owners": traffic.CLIENTS,
                    "weights": traffic.MODEL.layout.size,
                    "rounds": size.rounds,
                    "seeds": seeds,
                },
                _chart("bytes that one owner has sent", self.bytes),
                tables["bytes"],
            ),
            _report(
                "seconds",
                {
                    "table": "digits (scikit-learn), unevenly at the clients (Dirichlet 0.5)",
                    "clients": waiting.CLIENTS,
                    "seconds": size.horizon,
                    "updates of a step of FedBuff": waiting.BUFFER,
                    "seeds": seeds,
                },
                _chart("seconds on the simulated clock", self.seconds),
                tables["seconds"],
                TextPanel(title="What takes time", text=_SECONDS),
            ),
        ]


def _report(
    against: str, task: Mapping[str, Cell], chart: LinePanel, table: Table, *texts: TextPanel
) -> Report:
    return Report(
        title=f"Accuracy against {against}",
        panels=(
            KeyValuePanel(title="Task", values=dict(task)),
            chart,
            TablePanel(title="Figures", columns=table.columns, rows=table.rows),
            *texts,
        ),
    )


def _chart(x_label: str, curves: Sequence[Curve]) -> LinePanel:
    return LinePanel(
        title="Accuracy on held-out rows",
        help="mean over the seeds; shaded from the least to the greatest",
        x_label=x_label,
        x_scale="log",
        y_label="accuracy",
        series=tuple(curve.series() for curve in curves),
    )


def _epsilon_table(curves: Sequence[Curve]) -> Table:
    *kinds, without = curves
    rows: list[tuple[Cell, ...]] = [("none", _spread(without), *[None] * (len(kinds) - 1))]
    for at, epsilon in enumerate(without.x.tolist()):
        rows.append((f"{epsilon:g}", *(_spread(curve, at) for curve in kinds)))
    return Table(("ε", *(f"{curve.name} noise" for curve in kinds)), tuple(rows))


def _bytes_table(curves: Sequence[Curve]) -> Table:
    rows = tuple(
        (
            curve.name,
            round(curve.x[-1] / len(curve.x)),
            _whole(curve.reaches(BYTES_TARGET)),
            _spread(curve),
        )
        for curve in curves
    )
    head = ("compression", "bytes a round", f"bytes to {BYTES_TARGET:g}", "accuracy at the end")
    return Table(head, rows)


def _seconds_table(curves: Sequence[Curve]) -> Table:
    rows = tuple(
        (
            curve.name,
            round(curve.facts["steps"], 1),
            _whole(curve.reaches(SECONDS_TARGET)),
            _spread(curve),
        )
        for curve in curves
    )
    head = ("training", "models made", f"seconds to {SECONDS_TARGET:g}", "accuracy at the end")
    return Table(head, rows)


def _spread(curve: Curve, point: int = -1) -> str:
    mean, least, most = curve.spread(point)
    return f"{mean:.3f} ({least:.3f}–{most:.3f})"


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _text(cell: Cell) -> str:
    if cell is None:
        return "–"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
