"""Tables of parties for generated graphs: tiny, and odd in all the ways in which files are."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

Frames = dict[str, dict[str, pa.Table]]

# How the ids of the parties relate: which of the ids 0 … 99 a party has.
SHAPES = ("overlap", "equal", "disjoint")
ROWS = (1, 2, 3, 5, 8, 20, 40, 60, 80)
LABELS: Mapping[str, tuple[float, ...]] = {
    "0/1": (0.0, 1.0),
    "-1/1": (-1.0, 1.0),
    "three": (0.0, 1.0, 2.0),
    "one": (1.0,),
    "fractions": (0.0, 0.25, 1.0),
}
_SPAN = 100


@dataclass(frozen=True)
class Shape:
    """What all tables of a graph have in common.

    ``odd`` is the chance that something about a table is unusual.
    """

    roles: Mapping[str, str]
    shape: str
    rows: int
    shuffled: bool
    label: str | None
    odd: float

    @classmethod
    def draw(cls, draw: random.Random, roles: Mapping[str, str], odd: float) -> Shape:
        """Choose a shape."""
        label: str | None = "0/1"
        if draw.random() < 0.15 + odd:
            label = draw.choice([*LABELS, None])
        return cls(
            roles,
            draw.choices(SHAPES, (6, 3, 0.5 + 4 * odd))[0],
            draw.choice(ROWS if draw.random() < 0.1 + odd else ROWS[-4:]),
            draw.random() < 0.5,
            label,
            odd,
        )


def frames(draw: random.Random, shape: Shape, names: tuple[str, ...]) -> Frames:
    """Return each party's tables by name; the second and later ones are like the first."""
    found: Frames = {party: {} for party in shape.roles}
    for number, name in enumerate(names):
        own = shape
        if number and draw.random() < 0.2 + shape.odd:
            own = Shape.draw(draw, shape.roles, shape.odd)
        first = 0 if draw.random() < 0.3 else _SPAN * number
        order = draw.sample(range(_SPAN), own.rows)
        for at, party in enumerate(shape.roles):
            if draw.random() < 0.15 * shape.odd:
                continue
            found[party][name] = _frame(draw, own, party, _numbers(draw, own, at, order), first)
    return found


def _numbers(draw: random.Random, shape: Shape, at: int, order: list[int]) -> list[int]:
    """Return the numbers behind a party's ids, in the order of its rows."""
    if shape.shape == "equal":
        return order if shape.shuffled else sorted(order)
    rows = shape.rows if draw.random() < 0.5 else draw.choice(ROWS[-4:])
    numbers = draw.sample(range(_SPAN), rows)
    if shape.shape == "disjoint":
        numbers = [number + 1000 * at for number in numbers]
    return numbers if shape.shuffled else sorted(numbers)


def _frame(
    draw: random.Random, shape: Shape, party: str, numbers: list[int], first: int
) -> pa.Table:
    columns: dict[str, Any] = {}
    id_name = "id"
    if draw.random() < 0.05:
        id_name = "key"
    columns[id_name] = _ids(draw, shape, [number + first for number in numbers])
    for name in _names(draw, shape, party):
        columns[name] = _values(draw, shape, len(numbers))
    if shape.roles[party] == "guest" and shape.label is not None:
        columns["y"] = _label(draw, shape, len(numbers))
    names = list(columns)
    if draw.random() < 0.3:
        draw.shuffle(names)
    return pa.table({name: columns[name] for name in names})


def _ids(draw: random.Random, shape: Shape, numbers: list[int]) -> Any:
    texts = [f"p{number:04d}" for number in numbers]
    kind = draw.random()
    if kind < 0.05 * shape.odd:
        return pa.array([float(number) for number in numbers])
    if kind < 0.10 * shape.odd:
        return pa.array([texts[0], *texts[:-1]])
    if kind < 0.15 * shape.odd:
        return pa.array(numbers)
    return pa.array(texts)


def _names(draw: random.Random, shape: Shape, party: str) -> list[str]:
    """Return the features of a party: mostly the same two in all its tables."""
    if draw.random() < 0.85 - shape.odd:
        return [f"{party}{at}" for at in range(2)]
    names = [f"{party}{at}" for at in range(draw.randint(0, 4))]
    if draw.random() < 0.3:
        names += draw.sample(["y", "id2", "=1+1", "a column", "x"], 1)
    if shape.roles[party] == "guest":
        names = [name for name in names if name != "y"]
    return names


def _values(draw: random.Random, shape: Shape, rows: int) -> Any:
    kind = draw.choice(["floats", "floats", "integers", "few", "missing"])
    if draw.random() < 0.2 * shape.odd:
        kind = draw.choice(["constant", "absent", "infinite", "text", "flags", "huge"])
    makers: dict[str, Any] = {
        "floats": lambda: draw.gauss(0, 1),
        "integers": lambda: draw.randint(-5, 50),
        "few": lambda: float(draw.randint(0, 3)),
        "missing": lambda: None if draw.random() < 0.3 else draw.gauss(0, 1),
        "constant": lambda: 7,
        "absent": lambda: None,
        "infinite": lambda: draw.choice([1.0, float("inf")]),
        "text": lambda: draw.choice(["a", "b"]),
        "flags": lambda: draw.random() < 0.5,
        "huge": lambda: draw.choice([1.7e308, -1.7e308, 5e-324, 0.0]),
    }
    kinds = {"missing": pa.float64(), "absent": pa.float64()}
    return pa.array([makers[kind]() for _ in range(rows)], type=kinds.get(kind))


def _label(draw: random.Random, shape: Shape, rows: int) -> Any:
    classes = LABELS[shape.label or "0/1"]
    # Rare classes may be lost on the way, which no plan can know.
    weights = [draw.choice([1, 1, 1, 10]) for _ in classes]
    values: list[float | None] = list(draw.choices(classes, weights, k=rows))
    if draw.random() < 0.1 * shape.odd:
        values[draw.randrange(rows)] = None
    whole = all(value is not None and value == int(value) for value in values)
    if whole and draw.random() < 0.5:
        return pa.array([int(value or 0) for value in values])
    return pa.array(values, type=pa.float64())
