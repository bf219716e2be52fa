"""The comparison of error codes and pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.error_pages import codes_in, compare, page_faults, python_codes, rust_codes

CODE = "ATL-" + "XYZ-001"  # in two parts: this file is not a place that raises it
OTHER = "ATL-" + "XYZ-002"
PAGE = "# {}: a title\n\n## What happened\nThis.\n\n## Why\nThat.\n\n## What to do\nSo.\n"
SOURCE = Path("src/atoll/sample.py")


def texts(used: dict[str, tuple[str, int]], promised: dict[str, tuple[str, int]]) -> list[str]:
    return [finding.text for finding in compare(used, promised, {CODE: PAGE.format(CODE)})]


def test_codes_are_read_from_strings_and_docstrings_apart() -> None:
    source = f'def f() -> None:\n    """Errors: {OTHER}."""\n    raise E("{CODE}")\n'
    used, promised = python_codes(SOURCE, source)
    assert used == {CODE: (str(SOURCE), 3)}
    assert list(promised) == [OTHER]


def test_rust_comments_are_no_use() -> None:
    used, promised = rust_codes(Path("a.rs"), f'// {OTHER}\nfail("{CODE}")\n')
    assert (list(used), list(promised)) == ([CODE], [OTHER])


@pytest.mark.parametrize("form", ["{}/002", "{} and 002", "{}, 002", "{} to " + OTHER])
def test_short_forms_are_written_out(form: str) -> None:
    assert set(codes_in(form.format(CODE))) == {CODE, OTHER}


def test_a_matching_set_passes() -> None:
    place = {CODE: ("a.py", 1)}
    assert texts(place, place) == []


def test_missing_pages_unused_pages_and_empty_promises_are_found() -> None:
    place = ("a.py", 1)
    assert texts({CODE: place, OTHER: place}, {}) == [f"{OTHER} has no page docs/errors/{OTHER}.md"]
    assert texts({}, {}) == ["no code raises this error"]
    assert texts({CODE: place}, {OTHER: place}) == [
        f"{OTHER} is promised here but nothing raises it"
    ]


def test_a_page_needs_its_title_and_filled_sections() -> None:
    good = PAGE.format(CODE)
    assert list(page_faults(CODE, good)) == []
    assert len(list(page_faults(OTHER, good))) == 1
    assert len(list(page_faults(CODE, good.replace("## Why\n", "")))) == 1
    assert len(list(page_faults(CODE, good.replace("That.", "")))) == 1
