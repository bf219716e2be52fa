"""What parties send keeps its bytes, and what is no section is refused: held to a vector file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from atoll.core import codec
from atoll.core.errors import PeerError
from atoll.flow.control import encode_sync, parse_sync
from atoll.flow.control.facts import SECTIONS, encode_section
from atoll.flow.control.reading import read_section

VECTORS = Path(__file__).parents[2] / "vectors" / "control" / "sections.json"
WHOLE: dict[str, Any] = json.loads(VECTORS.read_text("utf-8"))


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_read_and_written_with_the_same_bytes(name: str) -> None:
    for text in WHOLE["sections"][name]:
        data = bytes.fromhex(text)
        assert encode_section(read_section(name, data)) == data


def test_a_message_is_read_and_written_with_the_same_bytes() -> None:
    data = bytes.fromhex(WHOLE["sync"])
    assert encode_sync(parse_sync(data)) == data


@pytest.mark.parametrize("name", [*SECTIONS, "sync"])
def test_what_is_no_section_has_one_code(name: str) -> None:
    cases = [case for case in WHOLE["refused"] if case["section"] == name]
    assert cases
    for case in cases:
        data = bytes.fromhex(case["bytes"])
        with pytest.raises(PeerError) as caught:
            parse_sync(data) if name == "sync" else read_section(name, data)
        assert caught.value.code == "ATL-FLW-001", case["why"]


MANY = 20_000
SYNC: dict[str, Any] = {"type": "atoll/sync/v1", "updates": [], "held": {}}
UPDATE = {"job": "20300102030405-0123abcd", "base": 0, "version": 1, "sections": {}}
UNKNOWN = {f"k{at}": 1 for at in range(MANY)}
DECLARATION = {"tables": {}, "components": {}, "certificate": b"x"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sync", {**SYNC, "updates": [1] * MANY}),
        ("sync", {**SYNC, "updates": [{**UPDATE, "job": 1, "base": -1}] * 4000}),
        ("sync", {**SYNC, "held": {f"k{at}": -1 for at in range(MANY)}}),
        (
            "sync",
            {**SYNC, "updates": [{**UPDATE, "sections": UNKNOWN}]},
        ),
        ("sync", {**SYNC, **UNKNOWN}),
        ("reusable", {"read": {"key": "d" * 64, "origins": [1] * MANY}}),
        ("tasks", {f"s{at}": 1 for at in range(250)}),
        ("plan", {"parts": {f"p{at}": 1 for at in range(300)}}),
        ("declaration", {**DECLARATION, "tables": {f"s{at}": {} for at in range(250)}}),
        ("declaration", {**DECLARATION, "tables": {"s": {"columns": [1] * MANY}}}),
    ],
)
def test_of_many_wrong_entries_one_is_kept(name: str, value: Any) -> None:
    data = codec.encode(value)
    with pytest.raises(PeerError, match="ATL-FLW-001") as caught:
        parse_sync(data) if name == "sync" else read_section(name, data)
    cause = caught.value.__cause__
    assert isinstance(cause, ValidationError)
    assert cause.error_count() <= 4
    assert len(str(caught.value)) < 300
