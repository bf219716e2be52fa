"""Words that do not come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.words import name_findings, page_findings, prose_findings, rust_findings

PATH = Path("a.py")


def texts(source: str, *, product: bool = True, path: Path = PATH) -> list[str]:
    return [finding.text for finding in name_findings(path, source, product=product)]


@pytest.mark.parametrize("name", ["told", "was_told", "WasTold", "TOLD_ONCE", "_told", "_live"])
def test_a_listed_name_is_found_with_what_to_write(name: str) -> None:
    (found,) = texts(f"x = 1\n{name} = 2\n")
    assert found.startswith(f"{name}: ")


@pytest.mark.parametrize(
    "source",
    ["stolen = tolderol = 1", "def test_who_is_told() -> None: ...", "x = 'told'", "#told"],
)
def test_other_names_test_functions_and_strings_are_free(source: str) -> None:
    assert texts(source) == []


def test_a_name_of_the_tests_is_no_name_of_the_product() -> None:
    assert texts("toy = 1", product=False) == []
    assert texts("toy = 1") == ["toy: synthetic"]


def test_a_module_is_found_by_its_file() -> None:
    assert texts("", path=Path("look.py")) == ["module look: inspection"]


def test_docstrings_and_comments_are_prose_and_code_is_none() -> None:
    docstring = '"""First.\n\n    Nobody is told; ``told`` is code.\n    """'
    source = f'def f():\n    {docstring}\n    x = "told"  # anew\n'
    found = [(finding.line, finding.text.split(":")[0]) for finding in prose_findings(PATH, source)]
    assert sorted(found) == [(4, "'Nobody'"), (4, "'told'"), (6, "'anew'")]


def test_a_page_is_prose_outside_of_code_and_links() -> None:
    page = "A\n\n```\ntold\n```\n`told` [x](a.md#who-is-told)\n\nIt hangs on\nwhat a party tells.\n"
    found = [(finding.line, finding.text.split(":")[0]) for finding in page_findings(PATH, page)]
    assert found == [(8, "'hangs on'"), (9, "'tells'")]


def test_rust_names_of_modules_and_types() -> None:
    source = "mod letter;\npub(crate) struct Gate;\nlet line = 1;\nenum Letters { A }\n"
    assert [finding.line for finding in rust_findings(Path("a.rs"), source)] == [1, 2]
