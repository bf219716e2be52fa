"""Places in lists: they come back as they were, and strange ones are the asker's fault."""

from __future__ import annotations

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import UserError
from atoll.flow.store.paging import decode_cursor, encode_cursor
from atoll.flow.store.values import unfit

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=80)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)


@given(TEXTS, FLOATS, INTEGERS)
def test_a_place_comes_back(text: str, number: float, count: int) -> None:
    place = [text, number, count]
    assert decode_cursor(encode_cursor(place), [str, float, int]) == place


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda b: b.hex()))
def test_any_other_text_is_refused_or_fits(text: str) -> None:
    with suppress(UserError):
        place = decode_cursor(text, [str, float])
        assert [unfit(value) for value in place] == [None, None]


@pytest.mark.parametrize(
    "value",
    [
        *[None, 1, "x", {}, [], ["a"], ["a", 1.0, 2], [1.0, "a"], ["a", True], ["a", None]],
        *[["a\0", 1.0], ["\ud800", 1.0], ["a", 1 << 70], ["a", float("nan")], ["a", 1e999]],
    ],
)
def test_strange_places_are_refused(value: object) -> None:
    text = base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
    with pytest.raises(UserError, match="ATL-STO-010"):
        decode_cursor(text, [str, float])
    with pytest.raises(UserError, match="ATL-STO-010"):
        decode_cursor("A" * 5000, [str, float])
