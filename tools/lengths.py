"""Short files, short functions: 500 lines a file; 40 a function, never above 60."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.common import (
    Finding,
    FunctionNode,
    functions,
    python_files,
    relative,
    report,
    rust_files,
)

FILE_LINES = 500
FUNCTION_LINES = 40
FUNCTION_LIMIT = 60


def body_lines(node: FunctionNode) -> int:
    """Return how many lines a function has from ``def`` on, without its docstring."""
    whole = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is None:
        return whole
    first = node.body[0]
    return whole - ((first.end_lineno or first.lineno) - first.lineno + 1)


def long_file(path: Path, text: str) -> Iterator[Finding]:
    """Find a file that is too long."""
    count = text.count("\n")
    if count > FILE_LINES:
        yield Finding(relative(path), 1, f"{count} lines, at most {FILE_LINES} are allowed")


def long_functions(path: Path, text: str, limit: int) -> Iterator[Finding]:
    """Find the functions of a Python file with more than ``limit`` lines."""
    for node in functions(ast.parse(text), lambda node: body_lines(node) > limit):
        yield Finding(relative(path), node.lineno, f"{node.name} has {body_lines(node)} lines")


def main() -> int:
    """Report long functions; fail for what is above the limits."""
    findings: list[Finding] = []
    long: list[Finding] = []
    for path in python_files("src", "tests", "bench", "tools"):
        text = path.read_text()
        findings += [*long_file(path, text), *long_functions(path, text, FUNCTION_LIMIT)]
        long += long_functions(path, text, FUNCTION_LINES)
    for path in rust_files():
        findings += long_file(path, path.read_text())
    for finding in sorted(set(long) - set(findings)):
        print(f"note: {finding}, more than {FUNCTION_LINES}")
    return report(findings, f"files <= {FILE_LINES} lines, functions <= {FUNCTION_LIMIT}")


if __name__ == "__main__":
    sys.exit(main())
