"""The scan before the value: it takes what would be written again, and counts what Python takes."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import msgpack
import pytest
from atoll_native import NativeError, check_json, check_msgpack
from hypothesis import given
from hypothesis import strategies as st

from atoll.core import codec
from atoll.core.errors import PeerError
from tests.core.test_message import SIMPLE

ENOUGH = 1 << 40


def is_rewritten(data: bytes) -> bool:
    """Return whether msgpack reads the bytes and the codec writes the same ones."""
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True, max_ext_len=0)
        return codec.encode(value) == data
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException, RecursionError):
        return False


def is_accepted(data: bytes) -> bool:
    try:
        check_msgpack(data, ENOUGH)
    except NativeError:
        return False
    return True


@given(value=SIMPLE, at=st.integers(0, 1 << 16), byte=st.integers(0, 255))
def test_what_is_accepted_is_what_would_be_written_again(value: Any, at: int, byte: int) -> None:
    data = bytearray(codec.encode(value))
    assert is_accepted(bytes(data))
    data[at % len(data)] = byte
    assert is_accepted(bytes(data)) == is_rewritten(bytes(data))
    short = bytes(data[: at % len(data)])
    assert is_accepted(short) == is_rewritten(short)


@given(st.binary(max_size=40))
def test_noise_is_judged_alike(data: bytes) -> None:
    assert is_accepted(data) == is_rewritten(data)


@pytest.mark.parametrize("first", range(256))
def test_every_first_byte_is_judged_alike(first: int) -> None:
    for rest in (b"", b"\x00", b"\x80", b"\xff" * 4, bytes(9), b"\x01" + bytes(7), b"a" * 40):
        data = bytes([first]) + rest
        assert is_accepted(data) == is_rewritten(data), data


VALUES: dict[str, Any] = {
    "empty lists": [[]] * 50_000,
    "lists": [[1, 2, 3]] * 20_000,
    "empty maps": [{}] * 50_000,
    "small maps": [{"a": 1}] * 20_000,
    "maps": [{f"k{n}": n for n in range(6)}] * 5_000,
    "one map": {f"{n:07}": None for n in range(50_000)},
    "integers": list(range(1000, 100_000)),
    "long integers": [1 << 40] * 50_000,
    "floats": [0.5] * 50_000,
    "texts": ["abcdef"] * 50_000,
    "wide texts": ["aaaaaa😀"] * 50_000,
    "blobs": [b"abcdef"] * 50_000,
    "a wide text": "a" * 1_000_000 + "😀",
    "a blob": bytes(1_000_000),
    "nothing": [None] * 100_000,
}


def _decoded(data: bytes) -> tuple[object, int]:
    """Return a value, and how many bytes of memory its decoding took."""
    gc.collect()
    tracemalloc.start(1)
    try:
        value = codec.decode(data, memory=ENOUGH)
        return value, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", VALUES)
def test_the_count_is_no_less_than_what_python_takes(name: str) -> None:
    data = codec.encode(VALUES[name])
    counted = check_msgpack(data, ENOUGH)
    # Threads that other tests left may take memory meanwhile: the least of a few counts.
    (value, taken), *others = (_decoded(data) for _ in range(3))
    taken = min(taken, *(more for _, more in others))
    # Python's own table of names grows by a step that depends on what the process has met so far.
    names = 4 << 20 if name == "one map" else 0
    assert taken <= counted + names + 4096
    # Nor is it so much more that honest values would be refused.
    assert counted <= 6 * taken + 4096
    assert codec.encode(value) == data


def test_more_structure_than_its_size_allows_is_refused() -> None:
    many = codec.encode([[]] * 100_000)
    with pytest.raises(PeerError, match="more structure than its size allows") as caught:
        codec.decode(many)
    assert caught.value.code == "ATL-COD-001"
    assert codec.decode(many, memory=codec.document_memory(8 << 20)) == [[]] * 100_000


def test_a_small_message_may_be_all_structure() -> None:
    value = [{"name": "a", "rows": n} for n in range(60)]
    assert codec.decode(codec.encode(value)) == value


def test_what_is_judged_may_lie_in_any_buffer() -> None:
    data = codec.encode({"a": bytes(100_000)})
    assert codec.decode(memoryview(data)) == codec.decode(data)


JSON = {
    "empty lists": b"[" + b"[]," * 50_000 + b"[]]",
    "empty maps": b"[" + b"{}," * 50_000 + b"{}]",
    "maps": b"[" + b'{"a":1,"b":[]},' * 10_000 + b"1]",
    "keys": b"{" + b",".join(b'"%d":0' % n for n in range(50_000)) + b"}",
    "numbers": b"[" + b"12345," * 50_000 + b"1.5]",
    "texts": b"[" + b'"abc",' * 50_000 + b'""]',
    "escapes": b'["' + b"\\u00e9\\ud83d\\ude00" * 20_000 + b'"]',
    "a wide text": b'["' + b"a" * 500_000 + "😀".encode() + b'"]',
}


@pytest.mark.parametrize("name", JSON)
def test_the_count_of_json_is_no_less_than_what_python_takes(name: str) -> None:
    from atoll.flow.api.body import parse

    data = JSON[name]
    counted = check_json(data, 64, ENOUGH)
    parse(b"[]")
    gc.collect()
    tracemalloc.start(1)
    try:
        parse(data, ENOUGH)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken <= counted + 16384
