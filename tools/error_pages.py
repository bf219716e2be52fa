"""Every error code has a page, every page a code, and every promised code is raised somewhere."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.common import ROOT, Finding, python_files, relative, report, rust_files

CODE = re.compile(r"\bATL-[A-Z]{3}-\d{3}\b")
# Short forms name several codes of one area: ATL-NET-001/002, ATL-NET-001 and 002, and
# ATL-NET-001 to ATL-NET-004.
LIST = re.compile(r"\b(ATL-[A-Z]{3}-)\d{3}((?:(?:/|, | and )\d{3}\b)+)")
SPAN = re.compile(r"\b(ATL-[A-Z]{3}-)(\d{3}) to \1(\d{3})\b")
SECTIONS = ("## What happened", "## Why", "## What to do")
PAGES = ROOT / "docs" / "errors"

Places = dict[str, tuple[str, int]]


def codes_in(text: str) -> Iterator[str]:
    """Return the codes in a text, short forms written out."""
    yield from CODE.findall(text)
    for match in LIST.finditer(text):
        yield from (match[1] + number for number in re.findall(r"\d{3}", match[2]))
    for match in SPAN.finditer(text):
        numbers = range(int(match[2]), int(match[3]) + 1)
        yield from (f"{match[1]}{number:03}" for number in numbers)


def _docstrings(tree: ast.AST) -> set[int]:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented)
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
    }


def python_codes(path: Path, text: str) -> tuple[Places, Places]:
    """Return the codes that a Python file uses, and those that its docstrings promise."""
    tree = ast.parse(text)
    docstrings = _docstrings(tree)
    used: Places = {}
    promised: Places = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            into = promised if id(node) in docstrings else used
            for code in codes_in(node.value):
                into.setdefault(code, (relative(path), node.lineno))
    return used, promised


def rust_codes(path: Path, text: str) -> tuple[Places, Places]:
    """Return the codes in a Rust file's code, and those in its comments."""
    used: Places = {}
    promised: Places = {}
    for number, line in enumerate(text.splitlines(), 1):
        into = promised if line.lstrip().startswith("//") else used
        for code in codes_in(line):
            into.setdefault(code, (relative(path), number))
    return used, promised


def compare(used: Places, promised: Places, pages: Mapping[str, str]) -> Iterator[Finding]:
    """Compare codes and pages (name of a code → text) both ways."""
    for code, (path, line) in used.items():
        if code not in pages:
            yield Finding(path, line, f"{code} has no page docs/errors/{code}.md")
    for code, (path, line) in promised.items():
        if code not in used:
            yield Finding(path, line, f"{code} is promised here but nothing raises it")
    for code, text in pages.items():
        place = f"docs/errors/{code}.md"
        if code not in used:
            yield Finding(place, 1, "no code raises this error")
        yield from (Finding(place, 1, fault) for fault in page_faults(code, text))


def page_faults(code: str, text: str) -> Iterator[str]:
    """Return what a page lacks: its title, a section, or anything under it."""
    if not re.match(rf"# {re.escape(code)}: \S", text):
        yield f"the first line must be '# {code}: title'"
    parts = re.split(r"^(## .*)$", text, flags=re.MULTILINE)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    for section in SECTIONS:
        if not bodies.get(section, "").strip():
            yield f"the section '{section}' is missing or empty"


def main() -> int:
    """Check the checkout."""
    used: Places = {}
    promised: Places = {}
    readers = [(p, python_codes) for p in python_files("src")]
    readers += [(p, rust_codes) for p in rust_files()]
    for path, read in readers:
        uses, promises = read(path, path.read_text())
        used = uses | used
        promised = promises | promised
    pages = {p.stem: p.read_text() for p in PAGES.glob("ATL-*.md")}
    return report(compare(used, promised, pages), "one page per code, see CONTRIBUTING.md")


if __name__ == "__main__":
    sys.exit(main())
