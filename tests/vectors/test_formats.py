"""What was once written is read as then, and what must be refused is, at its step."""

from __future__ import annotations

from typing import Any

import pytest

from tests.vectors import files
from tests.vectors.formats import FORMATS, Refused, output

HELD = {path.stem: files.read(path) for path in files.names("formats")}
GOOD = [(stem, name) for stem, held in HELD.items() for name in held["good"]]
BAD = [(stem, name) for stem, held in HELD.items() for name in held["bad"]]


def test_every_format_has_good_and_bad_vectors() -> None:
    assert sorted(held["format"] for held in HELD.values()) == sorted(FORMATS)
    assert all(held["good"] and held["bad"] for held in HELD.values())


@pytest.mark.parametrize(("stem", "name"), GOOD)
def test_a_good_vector_is_read_as_it_was_written(stem: str, name: str) -> None:
    case = HELD[stem]["good"][name]
    assert output(FORMATS[HELD[stem]["format"]], case["input"]) == case["output"]


@pytest.mark.parametrize(("stem", "name"), BAD)
def test_a_bad_vector_is_refused_at_its_step(stem: str, name: str) -> None:
    case: dict[str, Any] = HELD[stem]["bad"][name]
    with pytest.raises(Refused) as caught:
        output(FORMATS[HELD[stem]["format"]], case["input"])
    assert (caught.value.step, caught.value.code) == (case["step"], case["code"])


def test_a_file_that_does_not_say_where_it_comes_from_is_none(tmp_path: Any) -> None:
    path = tmp_path / "x.json"
    for text in ('{"good": {}}', '{"format": "f", "about": "a", "made_by": "", "commit": "c"}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"x\.json does not say"):
            files.read(path)
