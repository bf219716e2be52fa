"""Parties whose documents are wrong in many places: each place could be described at length.

Reading ends at the first, in memory of at most four times what the entrance takes. Most of it lies
where Python does not count, so it is measured as the process holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.flow import planning
from atoll.flow.control.facts import DECLARATION_BYTES
from atoll.flow.control.reading import read_section
from atoll.jobs.definition import JOB_FILE_BYTES, parse_job

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MANY = 100_000


def peak() -> int:
    """Return the most bytes that this process held since the last reset."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


@contextmanager
def bounded(limit: int) -> Iterator[None]:
    """Hold what happens to four times ``limit`` bytes of memory."""
    RESET.write_text("5")
    before = peak()
    yield
    assert peak() - before <= 4 * limit


def wrong(many: int = MANY) -> dict[str, int]:
    return {str(at): 0 for at in range(many)}


def step(**fields: Any) -> dict[str, Any]:
    return job(steps={"s": {"component": "reader", **fields}})


def job(**fields: Any) -> dict[str, Any]:
    parties = {"bank": "guest", "shop": "host"}
    return {"name": "a", "parties": parties, "steps": {"s": {"component": "reader"}}, **fields}


JOBS = {
    "unknown fields": lambda: job(**wrong()),
    "steps that are none": lambda: job(steps=wrong()),
    "steps, too many": lambda: job(steps={f"a{at}": {"component": ""} for at in range(40_000)}),
    "values that are no JSON": lambda: step(parameters={"a": [b""] * 3 * MANY}),
    "long names": lambda: step(parameters={"a" * 300 + str(at): 0 for at in range(3000)}),
    "inputs that are none": lambda: step(inputs={"a": [0] * 3 * MANY}),
    "inputs by name": lambda: step(inputs=wrong()),
    "overrides": lambda: step(overrides=wrong()),
    "overrides of all steps": lambda: job(
        steps={f"a{at}": {"component": "x", "overrides": wrong(256)} for at in range(256)}
    ),
    "parameters": lambda: step(parameters={"tables": wrong()}),
    "unknown parameters": lambda: step(parameters=wrong()),
}


@pytest.mark.parametrize("shape", JOBS)
def test_a_job_is_wrong_in_many_places(shape: str) -> None:
    """A partner asks with such a job, or proposes it. Rule: the first ends it, ATL-JOB."""
    body = JOBS[shape]()
    assert len(codec.encode(body)) < JOB_FILE_BYTES
    with bounded(JOB_FILE_BYTES), pytest.raises(AtollError, match=r"ATL-JOB-00[356]"):
        planning.check(parse_job(body), CATALOGUE)


TABLE = {"name": "a", "digest": "b", "rows": 1, "columns": [], "id_rule": "x"}
TABLES = {
    "columns that are none": {"s": {**TABLE, "columns": [0] * 10 * MANY}},
    "too many columns": {"s": {**TABLE, "columns": ["a"] * 2 * MANY}},
    "unknown fields": {"s": {**TABLE, **wrong()}},
    "tables that are none": {f"a{at}": {} for at in range(256)},
}


@pytest.mark.parametrize("shape", TABLES)
def test_a_declaration_is_wrong_in_many_places(shape: str) -> None:
    """Rule: as above, ATL-FLW-001, and what is kept of it is one line."""
    section = {"tables": TABLES[shape], "components": {}, "certificate": b"x"}
    data = codec.encode(section)
    assert len(data) < DECLARATION_BYTES
    with bounded(DECLARATION_BYTES), pytest.raises(AtollError, match="ATL-FLW-001") as caught:
        read_section("declaration", data)
    assert len(str(caught.value)) < 400
