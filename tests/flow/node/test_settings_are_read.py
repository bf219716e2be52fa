"""Every setting of a node is read somewhere: one that changes nothing must not be offered."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.flow.node.configuration import keys, sections
from atoll.flow.node.settings import Section

SOURCE = Path(__file__).parents[3] / "src" / "atoll"
OWN = SOURCE / "flow" / "node" / "settings.py"


def last(node: ast.AST | None) -> str | None:
    """Return the last word of ``a.b.c``."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def section_of(node: ast.AST, known: dict[str, str]) -> str | None:
    """Return which section an expression is: ``….settings.NAME``, or a name given to that."""
    if isinstance(node, ast.Attribute) and last(node.value) == "settings":
        return node.attr
    return known.get(ast.unparse(node)) if isinstance(node, ast.Name | ast.Attribute) else None


def given(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield names and the expressions that are assigned to them."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for one, value in zip(target.elts, node.value.elts, strict=True):
                    yield ast.unparse(one), value
            else:
                yield ast.unparse(target), node.value


def names_in(tree: ast.AST, known: dict[str, str], kinds: dict[str, str]) -> dict[str, str]:
    """Return the names that stand for a section in a function or class: name to section."""
    found = dict(known)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and last(node.annotation) in kinds:
            found[node.arg] = kinds[str(last(node.annotation))]
    for name, value in given(tree):
        section = section_of(value, found)
        if section is not None:
            found[name] = section
    return found


def reads(text: str, kinds: dict[str, str]) -> set[str]:
    """Return what a source file reads of settings, as ``section.key``; ``kinds``: by class name."""
    tree = ast.parse(text)
    found: set[str] = set()

    def visit(scope: ast.AST, known: dict[str, str]) -> None:
        for node in ast.iter_child_nodes(scope):
            inner = known
            if isinstance(node, ast.ClassDef):
                # Only what is kept on the object is known to its other methods.
                own = names_in(node, known, kinds)
                inner = {name: s for name, s in own.items() if name.startswith("self.")}
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = names_in(node, known, kinds)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                section = section_of(node.value, known)
                if section is not None:
                    found.add(f"{section}.{node.attr}")
            visit(node, inner)

    visit(tree, {})
    return found


@pytest.fixture(scope="module")
def read() -> set[str]:
    kinds = {kind.__name__: name for name, kind in sections().items()}
    texts = (path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py") if path != OWN)
    return set().union(*(reads(text, kinds) for text in texts if "settings" in text))


@pytest.mark.parametrize("key", keys())
def test_a_setting_is_read(key: str, read: set[str]) -> None:
    assert key in read


@pytest.mark.parametrize("key", ["jobs.made_up", "log.port", "access.warm", "jobs.maximum"])
def test_a_setting_that_nothing_reads_would_be_found(key: str, read: set[str]) -> None:
    assert key not in read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(at):\n    return at.settings.log.level", {"log.level"}),
        (
            "def f(settings):\n    a, b = settings.log, settings.jobs\n    a.x + b.y",
            {"log.x", "jobs.y"},
        ),
        ("def f():\n    a = s.settings.log\ndef g(a):\n    a.x", set()),
        ("def f(kind: LogSection):\n    kind.level", {"log.level"}),
        (
            "class C:\n    def __init__(self, s: LogSection):\n        self._s = s\n"
            "    def f(self):\n        t = self._s\n        t.level, self.s.x, s.x",
            {"log.level"},
        ),
        ("def f(other):\n    other.log.level", set()),
        ("def f(settings):\n    settings.log.level = 1", set()),
    ],
)
def test_what_counts_as_reading(text: str, expected: set[str]) -> None:
    assert reads(text, {"LogSection": "log"}) == expected
    assert issubclass(sections()["log"], Section)
