"""What people see of horizontal training: curves, what was spent, and warnings before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from atoll.components.clients import ALONE
from atoll.core.report import KeyValuePanel, LinePanel, Panel, Series, TablePanel
from atoll.learning.horizontal.parties.client import Work
from atoll.learning.horizontal.parties.measured import Point, figure_name
from atoll.learning.horizontal.parties.privacy import Private
from atoll.learning.horizontal.parties.reveals import Sizes

# Points of a curve of ε: each takes some time, and more are not seen.
_POINTS = 100
# Below so many clients, noise that hides one of them leaves little of a mean.
_FEW = 100
# Rounds that a report lists.
_MOST_CUT = 100
# A δ beyond this share of one unit is worth a warning.
_LARGE = 0.1


def curves(points: Sequence[Point], work: Work, of: str) -> list[Panel]:
    """Return the curves of loss and figure over rounds."""
    rounds, name = tuple(float(point.round) for point in points), figure_name(work.classifies)
    lines = (
        ("Loss", "loss", tuple(point.loss for point in points)),
        (name.capitalize(), name, tuple(point.figure for point in points)),
    )
    return [
        LinePanel(
            title=title,
            x_label="round",
            y_label=label,
            series=(Series(name=of, x=rounds, y=values),),
        )
        for title, label, values in lines
        if values
    ]


def cut_panels(cut: Mapping[int, str]) -> list[Panel]:
    """Return a client's rounds in which own values did not fit the sum, for its own report.

    No other party sees it: the round would show it this client's values (``Client.cut``).
    """
    if not cut:
        return []
    title = "Own values beyond the range of the sum, cut to it (raise bound, or clip)"
    rows = tuple((round_, code) for round_, code in sorted(cut.items()))
    return [TablePanel(title=title, columns=("round", "code"), rows=rows[:_MOST_CUT])]


def spent_panels(private: Private) -> list[Panel]:
    """Return what a training with privacy spent, and how ε grew over its rounds."""
    asked, rounds = private.asked, private.rounds
    at = np.unique(np.linspace(1, rounds, min(rounds, _POINTS)).astype(int)).tolist()
    spent = [private.spent(done) for done in at]
    lines = {"other clients": [found.readers.epsilon for found in spent]}
    seen = [found.aggregator.epsilon for found in spent if found.aggregator is not None]
    if seen:
        lines["aggregator"] = seen
    values: dict[str, float | int | str | None] = {
        f"epsilon against the {name}": round(line[-1], 6) for name, line in lines.items()
    }
    values |= {
        "delta": asked.delta,
        "one unit is": f"one {asked.unit}",
        "neighbours": str(asked.relation),
        "noise": asked.noise,
        "deviation of a round's noise, in clips": round(private.noise.multiplier, 6),
        "clip": private.noise.norm,
        "rounds": rounds,
    }
    if asked.noise == "distributed":
        values["colluding clients"] = asked.colluding
    rounds_ = tuple(float(done) for done in at)
    curve = LinePanel(
        title="Epsilon spent",
        x_label="round",
        y_label="epsilon",
        series=tuple(Series(name=n, x=rounds_, y=tuple(line)) for n, line in lines.items()),
    )
    return [KeyValuePanel(title="Differential privacy", values=values), curve]


def warnings_of(sizes: Sizes, private: Private | None, both: set[str]) -> tuple[str, ...]:
    """Return what people should know before they approve; ``both`` aggregate and are clients."""
    found = _without(sizes) if private is None else _with(sizes, private)
    if both and sizes.masked:
        names = ", ".join(sorted(both))
        found.append(
            f"{names} aggregates and is a client: it knows its own update, so the sums that it "
            "sees are of one client fewer"
            + ("; it is one of the clients that may collude" if private is not None else "")
        )
    return tuple(found)


def _without(sizes: Sizes) -> list[str]:
    if not sizes.masked:
        return [
            "the aggregator sees each client's update: single rows can be read off it, most easily "
            "of clients with few; sum: masked hides it"
        ]
    found = [
        f"the aggregator sees {sizes.sums} sums of at least {sizes.minimum} clients' updates, "
        "and no single update by itself; sums, and the common model, still depend on rows: nothing "
        "here is differentially private",
        ALONE,
    ]
    if sizes.clients > sizes.minimum:
        spare = sizes.clients - sizes.minimum
        found.append(
            f"{spare} of {sizes.clients} clients may be left out: an aggregator that lies "
            "learns about the update of one that it leaves out between two rounds; with "
            f"minimum_clients {sizes.clients} it cannot, and a client that leaves ends the step"
        )
    return found


def _with(sizes: Sizes, private: Private) -> list[str]:
    asked, spent = private.asked, private.spent(private.rounds)
    unit = "one row of a client" if asked.unit == "row" else "one client with all its rows"
    most = spent.readers.epsilon
    if spent.aggregator is not None:
        most = max(most, spent.aggregator.epsilon)
    known = f" and up to {asked.colluding} of the clients" if asked.noise == "distributed" else ""
    against = {
        "distributed": f"the aggregator{known} that pool what they know, and any client",
        "local": "the aggregator, and all other clients",
        "central": "the clients that read the model; the aggregator is trusted with exact sums",
    }[asked.noise]
    found = [
        f"differential privacy of {unit}: ε = {most:.4g} at δ = {asked.delta:g} "
        f"({asked.relation}) against {against}",
        "each run on the same rows spends its ε again, and both ε and both δ add up",
    ]
    units = private.size.all_rows if asked.unit == "row" else private.size.clients
    if asked.delta * units > _LARGE:
        found.append(
            f"δ = {asked.delta:g} is large for {units} {asked.unit}s: with that chance one of them "
            "may show as it is"
        )
    if asked.unit == "row":
        found.append("who has k rows here is protected by k times that ε, and a δ that grows more")
    if asked.noise == "distributed":
        found.append(
            f"the noise of {sizes.minimum - asked.colluding} clients is counted on; who colludes "
            "beyond that takes noise away"
        )
    if asked.unit == "client" and sizes.clients < _FEW:
        share = private.noise.multiplier / sizes.clients
        found.append(
            f"noise that hides one of {sizes.clients} clients has a deviation of "
            f"{share:.2g} clips on "
            "each value of the mean change: little is learnt with few clients"
        )
    return found
