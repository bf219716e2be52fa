"""The smaller checkers: lengths, licences, links."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.docs import anchors, link_findings, links
from tools.lengths import long_file, long_functions
from tools.licences import refused


def function(lines: int, docstring: int = 0) -> str:
    text = ["def f():"]
    if docstring:
        text += ['    """One.', *["    more"] * (docstring - 2), '    """']
    return "\n".join([*text, *["    x = 1"] * (lines - 1)]) + "\n"


def test_function_lengths_leave_the_docstring_out() -> None:
    path = Path("a.py")
    assert list(long_functions(path, function(10), 10)) == []
    assert len(list(long_functions(path, function(11), 10))) == 1
    assert list(long_functions(path, function(10, docstring=8), 10)) == []


def test_file_lengths() -> None:
    assert list(long_file(Path("a.rs"), "x\n" * 500)) == []
    assert len(list(long_file(Path("a.rs"), "x\n" * 501))) == 1


@pytest.mark.parametrize(
    ("licence", "is_refused"),
    [
        ("Apache-2.0", False),
        ("MIT OR GPL-2.0-only", False),
        ("MIT/LGPL-2.1", False),
        ("GPL-3.0-or-later", True),
        ("AGPL-3.0-only", True),
        ("LGPL-2.1-or-later OR GPL-2.0-only", True),
        ("License :: OSI Approved :: GNU General Public License v3 (GPLv3)", True),
    ],
)
def test_licences(licence: str, is_refused: bool) -> None:
    assert refused(licence) is is_refused


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    (tmp_path / "b.md").write_text("# A Title, here\n")
    text = "# Top\n[ok](b.md#a-title-here) [ok](#top) [ok](https://x.example)\n"
    page.write_text(text)
    assert list(link_findings(page, text)) == []
    for bad in ("[x](c.md)", "[x](b.md#nowhere)", "![x](images/none.svg)", "[x](#no)"):
        assert len(list(link_findings(page, text + "\n" + bad))) == 1


def test_links_know_their_line_and_anchors_their_form() -> None:
    assert list(links("one\n\n[a](b.md)\n")) == [(3, "b.md")]
    assert anchors("## What leaves, and `how`?\n") == {"what-leaves-and-how"}
