"""No module imports itself through others, in Python or in Rust; imports inside functions count.

A name that only types need is imported where nothing runs (``TYPE_CHECKING``): it counts as well,
since who reads one file must read the other.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tools.common import ROOT, Finding, python_files, relative, report, rust_files

Graph = Mapping[str, set[str]]
_USED = re.compile(r"\b(crate|super)::((?:\w+::)*)(\{[^;]*?\}|\w+)", re.DOTALL)
_TESTS = re.compile(r"#\[cfg\(test\)\]\s*mod \w+ \{.*", re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*")


def python_imports(sources: Mapping[str, str]) -> Graph:
    """Return which of these modules each one imports, anywhere in it."""
    return {
        name: set(_imports(ast.parse(text), sources)) - {name} for name, text in sources.items()
    }


def _imports(tree: ast.AST, known: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found = whole if whole in known else node.module
                if found in known:
                    yield found


def rust_uses(sources: Mapping[str, str]) -> Graph:
    """Return which of these modules of one crate (``a::b``) each one uses, tests left out."""
    return {name: set(_uses(name, text, sources)) - {name} for name, text in sources.items()}


def _uses(module: str, text: str, known: Mapping[str, str]) -> Iterator[str]:
    plain = _COMMENT.sub("", _TESTS.sub("", text))
    parent = module.split("::")[:-1]
    for start, path, rest in _USED.findall(plain):
        base = [*(parent if start == "super" else []), *path.split("::")[:-1]]
        names = re.split(r",", rest.strip("{} \n")) if rest.startswith("{") else [rest]
        for name in names:
            parts = [*base, *name.strip().split("::")]
            ends = ("::".join(parts[:length]) for length in range(len(parts), 0, -1))
            found = next((end for end in ends if end in known), None)
            if found is not None:
                yield found


def circles(graph: Graph) -> Iterator[list[str]]:
    """Yield one circle after the other; each is opened at its last import to look for more."""
    left = {name: set(used) for name, used in graph.items()}
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            # The modules of the circle, each imported by the one before it.
            circle: list[str] = error.args[1]
            yield circle
            left[circle[1]].discard(circle[0])
        else:
            return


def _module(path: Path, root: Path, separator: str, whole: str) -> str:
    parts = list(path.relative_to(root).with_suffix("").parts)
    return separator.join(parts[:-1] if parts[-1] == whole else parts)


def _found(graph: Graph, files: Mapping[str, Path]) -> Iterator[Finding]:
    for circle in circles(graph):
        yield Finding(relative(files[circle[0]]), 1, f"circle: {' <- '.join(circle)}")


def main() -> int:
    """Report each circle."""
    source = ROOT / "src"
    files = {_module(path, source, ".", "__init__"): path for path in python_files("src")}
    texts = {name: path.read_text() for name, path in files.items()}
    findings = list(_found(python_imports(texts), files))
    crates: dict[Path, dict[str, Path]] = {}
    for path in rust_files():
        for root in path.parents:
            if root.name == "src":
                crates.setdefault(root, {})[_module(path, root, "::", "mod")] = path
    for inside in crates.values():
        # A crate's root names all of its modules.
        modules = {name: path for name, path in inside.items() if name not in ("lib", "main")}
        texts = {name: path.read_text() for name, path in modules.items()}
        findings += _found(rust_uses(texts), modules)
    return report(findings, "no module imports itself through others")


if __name__ == "__main__":
    sys.exit(main())
