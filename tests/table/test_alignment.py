"""Where the order of a table's rows was agreed on: what keeps it, and what loses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.table import Table
from atoll.table.labels import CLASSES, LabelFacts

AGREED = "a" * 64
ROWS = 12


def table(start: int = 0) -> Table:
    columns = {"x": pa.array(np.arange(float(ROWS))), "y": pa.array(np.arange(ROWS) % 2)}
    ids = pa.array([f"p{at:02d}" for at in range(start, start + ROWS)])
    return Table.from_columns(ids, columns, label="y").repartition(5).with_alignment(AGREED)


def doubled(batch: Any) -> Any:
    twice = pa.array(batch.column("x").to_numpy() * 2)
    return batch.set_column(batch.schema.get_field_index("x"), "x", twice)


KEPT: list[Callable[[Table], Table]] = [
    lambda t: t.select(["x"]),
    lambda t: t.select([]),
    lambda t: t.rename({"x": "z", "id": "key"}),
    lambda t: t.without_label(),
    lambda t: t.repartition(2),
    lambda t: t.map_partitions(doubled),
]
LOST: list[Callable[[Table], Table]] = [
    lambda t: t.take(np.arange(ROWS)),
    lambda t: t.take(np.arange(ROWS)[::-1]),
    lambda t: t.filter(np.ones(ROWS, dtype=bool)),
    lambda t: t.head(),
    lambda t: t.align(t.ids()),
    lambda t: t.union(table(6)),
    lambda t: t.subtract_by_key(table(6)),
    lambda t: t.join(table(6).rename({"x": "z"}).without_label()),
    lambda t: t.map_partitions(lambda batch: batch.slice(1)),
    lambda t: t.map_partitions(lambda batch: batch.take(pa.array(range(batch.num_rows)[::-1]))),
    lambda t: t.with_alignment(None),
    lambda t: Table.from_arrow(t.to_arrow(), label="y"),
]


@pytest.mark.parametrize("work", KEPT)
def test_what_leaves_rows_as_they_are_keeps_the_alignment(work: Callable[[Table], Table]) -> None:
    assert work(table()).alignment == AGREED
    assert work(table().with_alignment(None)).alignment is None


@pytest.mark.parametrize("work", LOST)
def test_what_chooses_rows_loses_the_alignment(work: Callable[[Table], Table]) -> None:
    assert work(table()).alignment is None


def test_the_digest_is_of_the_content_alone() -> None:
    assert table().digest() == table().with_alignment(None).digest()


def test_label_facts_name_each_class_its_size_and_first_row() -> None:
    assert table().label_facts() == LabelFacts("y", (0.0, 1.0), (1, 2), sizes=(6, 6))
    assert table().without_label().label_facts() is None
    facts = LabelFacts.of(np.array([3.0, -1.0, 3.0, 0.5]), "y", 2)
    assert facts == LabelFacts("y", (-1.0, 0.5, 3.0), (3, 5, 2), sizes=(1, 1, 2))
    assert (facts.row_of({-1.0, 0.5}), facts.row_of({7.0})) == (3, None)
    old = {k: v for k, v in facts.to_dict().items() if k != "sizes"}
    assert LabelFacts.from_dict(old).sizes == ()
    assert LabelFacts.from_dict(facts.to_dict()) == facts


def test_label_facts_of_amounts_are_few() -> None:
    facts = LabelFacts.of(np.arange(500.0)[::-1], "amount")
    assert (len(facts.classes), facts.more) == (CLASSES, True)
    assert facts.rows[0] == 500
