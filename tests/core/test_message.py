from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core import codec
from atoll.core.errors import InternalError, PeerError
from atoll.core.message import Message, array, blob, integer, items, text
from atoll.core.reveal import Disclosures, Reveal

SIMPLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@dataclass(frozen=True)
class Sample(Message, kind="test.sample", version=3):
    count: int = integer(0, 10, reveals="how many")
    points: Any = array("u4", (None, 2), 8, opaque="uniform")
    parts: Any = items(array("u1", (None,), 4, reveals="the parts"), 3)
    name: str | None = text(8, opaque="constant", optional=True)
    seed: bytes = blob(4, opaque="uniform")


def sample(**changes: Any) -> Sample:
    fields: dict[str, Any] = {
        "count": 3,
        "points": np.arange(6, dtype=np.uint32).reshape(3, 2),
        "parts": (np.array([1], np.uint8), np.array([2, 3], np.uint8)),
        "name": None,
        "seed": b"abcd",
    }
    return Sample(**{**fields, **changes})


@given(SIMPLE)
def test_canonical_bytes_round_trip(value: Any) -> None:
    data = codec.encode(value)
    assert codec.encode(codec.decode(data)) == data


@given(st.dictionaries(st.text(), st.integers(0, 9), min_size=2))
def test_equal_maps_have_equal_bytes(value: dict[str, int]) -> None:
    assert codec.encode(value) == codec.encode(dict(reversed(list(value.items()))))


def test_message_round_trip() -> None:
    message = sample()
    again = Sample.decode(message.encode())
    assert again.encode() == message.encode()
    assert np.array_equal(again.points, message.points)
    assert list(message.revealed()) == [("count", 1), ("parts", 3)]


@pytest.mark.parametrize(
    "change",
    [
        {"count": 11},
        {"count": True},
        {"count": "3"},
        {"points": ["u4", [3, 2], bytes(23)]},
        {"points": ["u4", [2, 3], bytes(24)]},
        {"points": ["u8", [3, 2], bytes(48)]},
        {"points": ["u4", [3, -2], bytes(24)]},
        {"points": ["u4", [9, 2], bytes(72)]},
        {"points": ["u4", [2**40, 2], bytes(24)]},
        {"points": None},
        {"parts": [["u1", [1], b"a"]] * 4},
        {"seed": b"abc"},
        {"name": "too long a name"},
        {"extra": 1},
    ],
)
def test_other_shapes_are_refused(change: dict[str, Any]) -> None:
    kind, version, body = codec.decode(sample().encode())
    with pytest.raises(PeerError) as caught:
        Sample.decode(codec.encode([kind, version, {**body, **change}]))
    assert caught.value.code == "ATL-COD-002"


def test_another_version_or_class_is_refused() -> None:
    kind, version, body = codec.decode(sample().encode())
    for wrong in ([kind, version + 1, body], ["test.other", version, body], [kind, body]):
        with pytest.raises(PeerError) as caught:
            Sample.decode(codec.encode(wrong))
        assert caught.value.code == "ATL-COD-002"


def test_a_field_must_say_what_it_reveals() -> None:
    with pytest.raises(TypeError):
        integer(0, 1)
    with pytest.raises(TypeError):
        integer(0, 1, reveals="x", opaque="y")


def test_two_classes_may_not_share_a_kind() -> None:
    with pytest.raises(TypeError):

        class Other(Message, kind="test.sample"):
            pass


def test_size_formulas() -> None:
    reveal = Reveal("guest", "host", "m", "f", "2 * rows + sum(cuts) + ceil_div(rows, 8)", "rows")
    assert reveal.count({"rows": 9, "cuts": [1, 2]}) == 23
    for bad in ("__import__('os')", "rows.bit_length()", "unknown", "rows / 2", "'a'"):
        with pytest.raises(InternalError) as caught:
            Reveal("guest", "host", "m", "f", bad, "").count({"rows": 1})
        assert caught.value.code == "ATL-REV-001"


def test_disclosures_carry_the_sentence() -> None:
    counted = Disclosures()
    message = sample()
    counted.add("bank", "shop", message.kind, message.revealed())
    counted.add("bank", "shop", message.kind, message.revealed())
    assert counted.to_list() == [
        {"sender": "bank", "receiver": "shop", "message": "test.sample", "field": "count",
         "elements": 2, "what": "how many"},
        {"sender": "bank", "receiver": "shop", "message": "test.sample", "field": "parts",
         "elements": 6, "what": "the parts"},
    ]  # fmt: skip
