"""What each entrance takes in memory and time, for the worst that fits through it."""

from __future__ import annotations

import functools
import gc
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from atoll_native import check_msgpack

from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.flow.control.facts import SECTIONS
from tests.fuzz import readers, seeds
from tests.fuzz.bounds import ENTRANCES, SECONDS

MIB = 1 << 20
# Of messages, which are held to their own length.
LENGTH = 8 * MIB


def msgpack_lists(size: int) -> bytes:
    return b"\xdd" + (size - 5).to_bytes(4, "big") + b"\x90" * (size - 5)


def msgpack_maps(size: int) -> bytes:
    return b"\xdd" + (size - 5).to_bytes(4, "big") + b"\x80" * (size - 5)


def msgpack_keys(size: int) -> bytes:
    count = (size - 5) // 8
    numbered = (b"\xa6" + b"%06x" % number + b"\xc0" for number in range(count))
    return b"\xdf" + count.to_bytes(4, "big") + b"".join(numbered)


def msgpack_text(size: int) -> bytes:
    body = b"a" * (size - 9) + "😀".encode()
    return b"\xdb" + len(body).to_bytes(4, "big") + body


def json_lists(size: int) -> bytes:
    return b"[" + b"[]," * (size // 3 - 1) + b"0]"


def json_brackets(size: int) -> bytes:
    return b"[" * size


def json_text(size: int) -> bytes:
    return b'"' + b"a" * (size - 6) + "😀".encode() + b'"'


def json_keys(size: int) -> bytes:
    return b"{" + b",".join(b'"%06x":0' % number for number in range((size - 2) // 11)) + b"}"


def yaml_lists(size: int) -> bytes:
    return b"- []\n" * (size // 5)


def toml_tables(size: int) -> bytes:
    return b"[[a]]\n" * (size // 6)


def toml_dots(size: int) -> bytes:
    return b"a." * (size // 2 - 2) + b"a=1"


Shape = Callable[[int], bytes]


def declared(make: Shape) -> Shape:
    """Return a shape as the reader of sections takes it: what it is in one byte before it."""
    return lambda size: bytes([SECTIONS.index("declaration")]) + make(size - 1)


MSGPACK: tuple[Shape, ...] = (msgpack_lists, msgpack_maps, msgpack_keys, msgpack_text)
JSON: tuple[Shape, ...] = (json_lists, json_brackets, json_text, json_keys)
CASES: dict[str, tuple[Shape, ...]] = {
    "message": MSGPACK,
    "section": tuple(map(declared, MSGPACK)),
    "sync": MSGPACK,
    "job": MSGPACK,
    "declaration": MSGPACK,
    "approval": MSGPACK,
    "session": MSGPACK,
    "enrolment": MSGPACK,
    "body": JSON,
    "manifest": JSON,
    "json": JSON,
    "yaml": (*JSON, yaml_lists),
    "toml": (toml_tables, toml_dots, json_brackets),
}


def measured(name: str, data: bytes) -> tuple[int, float]:
    """Return the memory and the processor's seconds that a reader takes."""
    gc.collect()
    tracemalloc.start(1)
    try:
        started = time.process_time()
        readers.read(name, data)
        return tracemalloc.get_traced_memory()[1], time.process_time() - started
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "shape"), [(name, shape) for name, shapes in CASES.items() for shape in shapes]
)
def test_structure_takes_no_more_than_the_entrance_states(name: str, shape: Shape) -> None:
    data = shape(ENTRANCES.get(name, LENGTH))
    readers.read(name, b"")
    taken, seconds = measured(name, data)
    # The bytes themselves are here already: three more times what the entrance takes.
    assert taken <= 3 * ENTRANCES.get(name, len(data)) + MIB
    assert seconds < 5 * SECONDS


def most(make: Callable[[int], Any], memory: int) -> bytes:
    """Return the largest document of a kind whose objects are let in; each entry costs the same."""
    few, more = (check_msgpack(codec.encode(make(count)), memory) for count in (1, 1001))
    data = codec.encode(make(1 + (memory - few) * 1000 // (more - few)))
    assert 0.99 * memory < check_msgpack(data, memory)
    return data


documents = functools.cache(seeds.documents)


def declaration(count: int) -> Any:
    """A declaration of a table with so many columns."""
    whole = codec.decode(documents()["declaration"][0], memory=MIB)
    facts = next(iter(whole["tables"].values()))
    return {**whole, "tables": {"read": {**facts, "columns": [f"{n:06}" for n in range(count)]}}}


def job(count: int) -> Any:
    """A job whose first step has so many lists in its parameters."""
    whole = codec.decode(documents()["job"][0], memory=MIB)
    name, step = next(iter(whole["steps"].items()))
    step = {**step, "parameters": {"a": [[]] * count}}
    return {**whole, "steps": {**whole["steps"], name: step}}


@pytest.mark.parametrize(("name", "make"), [("declaration", declaration), ("job", job)])
def test_the_largest_document_that_is_let_in_is_read_within_the_bound(
    name: str, make: Callable[[int], Any]
) -> None:
    limit = ENTRANCES[name]
    data = most(make, codec.document_memory(limit))
    readers.read(name, codec.encode(make(1)))
    taken, seconds = measured(name, data)
    assert taken <= 4 * limit
    assert seconds < 10 * SECONDS


def test_honest_documents_stay_far_below() -> None:
    """A declaration of 20,000 columns, and a job of as many, are read."""
    assert readers.READERS["declaration"](codec.encode(declaration(20_000)))
    names = [f"column_{number}" for number in range(20_000)]
    whole = codec.encode({**job(0), "a": names})
    check_msgpack(whole, codec.document_memory(ENTRANCES["job"]))
    with pytest.raises(AtollError, match="ATL-JOB"):
        readers.READERS["job"](whole)
