"""What a type checker is told of the asynchronous client."""

from __future__ import annotations

import re

from tools.awaited import FILE, stub


def plain(text: str) -> str:
    """Return a text without what a formatter decides."""
    return re.sub(r"[\s()]|,(?=\s*\))", "", text)


def test_the_file_is_what_the_tool_makes() -> None:
    found, made = (
        re.sub(r"^from .*|^import .*", "", t, flags=re.MULTILINE)
        for t in (FILE.read_text(), stub())
    )
    assert plain(found) == plain(made), "run: python -m tools.awaited, then ./do check"
