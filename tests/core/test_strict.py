"""A dataclass is read exactly as it would be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, StrictInt, StrictStr, ValidationError

from atoll.core.strict import WireValue, at_most, read, reason, text


@dataclass(frozen=True)
class Inner(WireValue):
    number: StrictInt = 0
    word: Annotated[str, text("[a-z]+|[0-9]")] | None = None


@dataclass(frozen=True)
class Outer(WireValue):
    inner: Inner
    several: Annotated[Mapping[str, Inner], at_most(2)] = field(default_factory=dict)
    names: Annotated[tuple[StrictStr, ...], at_most(2)] = ()


GOOD: dict[str, Any] = {
    "inner": {"number": 1},
    "several": {"a": {"number": 2, "word": "b"}},
    "names": ["x"],
}


def test_what_is_sent_is_read() -> None:
    assert read(Outer, GOOD) == Outer(Inner(1), {"a": Inner(2, "b")}, ("x",))


@pytest.mark.parametrize(
    "change",
    [
        {"inner": {}},
        {"inner": None},
        {"inner": [1]},
        {"inner": {"number": True}},
        {"inner": {"number": 1.0}},
        {"inner": {"number": 1, "word": None}},
        {"inner": {"number": 1, "word": "a\n"}},
        {"inner": {"number": 1, "word": "a1"}},
        {"inner": {"number": 1, "word": b"a"}},
        {"inner": {"number": 1, "more": 1}},
        {"several": {key: {"number": 1} for key in "abc"}},
        {"several": {"a": {"number": "1"}}},
        {"names": ["x", "y", "z"]},
        {"names": [1]},
        {"names": "x"},
        {"more": 1},
    ],
)
def test_nothing_else_is(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(Outer, {**GOOD, **change})


@pytest.mark.parametrize("name", list(GOOD))
def test_a_field_with_a_default_is_sent_all_the_same(name: str) -> None:
    with pytest.raises(ValidationError):
        read(Outer, {key: value for key, value in GOOD.items() if key != name})


def test_the_reason_is_short_and_names_the_place() -> None:
    with pytest.raises(ValidationError) as caught:
        read(Outer, {**GOOD, "several": {"a" * 999: {"number": "secret"}}})
    text = reason(caught.value)
    assert text.startswith("'several.aaa")
    assert "secret" not in text
    assert len(text) < 200


def test_a_field_may_be_called_like_a_part_of_a_schema() -> None:
    """Fields by their names were taken for a schema: one called `type` could not be read at all."""

    class Odd(BaseModel):
        type: str
        default: tuple[int, ...] = ()

    assert read(Odd, {"type": "x", "default": [1]}) == Odd(type="x", default=(1,))
    with pytest.raises(ValidationError) as caught:
        read(Odd, {"type": "x", "default": ["a", "b", "c"]})
    assert caught.value.error_count() == 1
