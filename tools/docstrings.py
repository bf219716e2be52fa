"""Docstrings of operators, mpc, privacy and crypto say what a reader must know (DESIGN 6).

The rules, for public functions, methods and classes:

- who takes or returns arrays states their shape, and their dtype where the annotation does not;
- who takes a ``party`` and sends with it, or hands it on, states what it reports: ``Reveals: …``;
- who raises states it: ``Errors: …``, naming each code that stands in its own body;
- a file that implements a scheme names its ``Source: …`` (paper, RFC, specification, our own page).
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.common import Finding, FunctionNode, functions, python_files, relative, report
from tools.error_pages import codes_in

ROOMS = ("operators", "mpc", "privacy", "crypto")
ARRAYS = {"ndarray", "NDArray", "Array", "ArrayLike", "ChunkedArray", "BinaryArray", "RecordBatch"}
SHAPE = re.compile(
    r"\w\[\w[^\]]*\]|\(\w+(, ?[\w*+]+)+,?\)|\(\w+,\)|\bshapes?\b|\blengths?\b|×|"
    r"\bone (\w+ )?(a|per) \w|\bas many\b|\b(an?|each) row\b|\bcolumns?\b.*\brows?\b|"
    r"\bper (row|id|element|point|cell|bin|pair|column|feature)\b|"
    r"\w`* \w*(elements|values|rows|points|scalars|pairs|ids|indices|entries|cells|bytes)\b",
    re.IGNORECASE,
)
# The contract of an implementation may stand at its interface.
ELSEWHERE = re.compile(r"\b(See|As|as in|like) ``\w+")
DTYPE = re.compile(r"\b(u?int(8|16|32|64)|float(32|64)|bool(_|eans?)?|binary|large_binary|bytes)\b")
SOURCE = re.compile(r"Source:[^\n]*\S", re.IGNORECASE)
CITATION = re.compile(r"RFC ?\d+|\b(19|20)\d\d\b|https?://|docs/|PROTOCOLS|SP ?800|FIPS")
SKIPPED = {"__init__.py", "messages.py"}
# Files of crypto that carry no scheme of their own.
PLUMBING = {"guard.py"}


@dataclass(frozen=True)
class Annotation:
    """What an annotation shows: whether it is an array, and whether it names the dtype."""

    array: bool
    typed: bool


def describe(node: ast.expr | None, aliases: dict[str, Annotation]) -> Annotation:
    """Read one annotation; ``aliases`` are names that stand for array types."""
    if node is None:
        return Annotation(False, False)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except SyntaxError:
            return Annotation(False, False)
    names = [n.id if isinstance(n, ast.Name) else n.attr for n in _names(node)]
    known = [aliases[name] for name in names if name in aliases]
    array = any(name in ARRAYS for name in names) or any(a.array for a in known)
    typed = any(DTYPE.search(name) for name in names) or any(a.typed for a in known)
    return Annotation(array, typed or "BinaryArray" in names)


def _names(node: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    for child in ast.walk(node):
        if isinstance(child, ast.Name | ast.Attribute):
            yield child


def array_aliases(trees: list[ast.Module]) -> dict[str, Annotation]:
    """Return the module-level names, in any of these files, that stand for array types."""
    found: dict[str, Annotation] = {}
    for tree in trees:
        for node in tree.body:
            target = node.targets[0] if isinstance(node, ast.Assign) else None
            if isinstance(node, ast.AnnAssign):
                target = node.target
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if isinstance(target, ast.Name) and isinstance(value, ast.Subscript | ast.Attribute):
                described = describe(value, {})
                if described.array:
                    found[target.id] = described
    return found


def _array_fault(text: str, annotations: list[Annotation]) -> Iterator[str]:
    arrays = [a for a in annotations if a.array]
    if arrays and not SHAPE.search(text):
        yield "takes or returns arrays but states no shape"
    if any(not a.typed for a in arrays) and not DTYPE.search(text):
        yield "takes or returns arrays but states no dtype"


def _section(text: str, name: str) -> bool:
    return re.search(rf"\b{name}: *\S", text) is not None


def _own_raises(node: ast.AST) -> list[ast.Raise]:
    return [n for n in ast.walk(node) if isinstance(n, ast.Raise) and n.exc is not None]


def raising(tree: ast.Module) -> set[FunctionNode]:
    """Return the functions that raise, themselves or through functions of their own file."""
    every = list(functions(tree, lambda _: True))
    top = {node.name: node for node in tree.body if isinstance(node, FunctionNode)}
    found = {node for node in every if _own_raises(node)}
    while True:
        names = {name for name, node in top.items() if node in found}
        more = {node for node in every if node not in found and _calls(node) & names}
        if not more:
            return found
        found |= more


def _calls(node: ast.AST) -> set[str]:
    calls = (n.func for n in ast.walk(node) if isinstance(n, ast.Call))
    return {f.id for f in calls if isinstance(f, ast.Name)}


def _speaks(node: FunctionNode) -> bool:
    """Return whether a function sends, or hands its party on to someone who may."""
    for call in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "send":
            return True
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        if any(isinstance(value, ast.Name) and value.id == "party" for value in given):
            return True
    # A declaration without a body stands for every implementation.
    return all(isinstance(n, ast.Expr) for n in node.body)


def function_faults(
    node: FunctionNode, aliases: dict[str, Annotation], raisers: set[FunctionNode]
) -> Iterator[str]:
    """Return what the docstring of one public function lacks."""
    text = ast.get_docstring(node) or ""
    if not text:
        yield "has no docstring"
    if not text or ELSEWHERE.search(text):
        return
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    annotations = [describe(a.annotation, aliases) for a in arguments]
    yield from _array_fault(text, [*annotations, describe(node.returns, aliases)])
    speaks = any(a.arg == "party" for a in arguments) and _speaks(node)
    if speaks and not _section(text, "Reveals"):
        yield "takes a party but does not state 'Reveals: …'"
    if node in raisers and not _section(text, "Errors"):
        yield "can raise but does not state 'Errors: …'"
    own = {code for r in _own_raises(node) for code in codes_in(ast.unparse(r))}
    missing = sorted(own - set(codes_in(text)))
    if missing and _section(text, "Errors"):
        yield f"does not name the error it raises: {', '.join(missing)}"


def class_faults(node: ast.ClassDef, aliases: dict[str, Annotation]) -> Iterator[str]:
    """Return what the docstring of one public class lacks."""
    text = ast.get_docstring(node) or ""
    if not text:
        yield "has no docstring"
        return
    # A message declares kind, shape and bound of each field in code.
    if any(isinstance(base, ast.Name) and base.id == "Message" for base in node.bases):
        return
    fields = [n.annotation for n in node.body if isinstance(n, ast.AnnAssign)]
    yield from _array_fault(text, [describe(field, aliases) for field in fields])


def file_faults(tree: ast.Module) -> Iterator[str]:
    """Return whether a file that implements a scheme names where the scheme comes from."""
    documented = [
        n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | FunctionNode)
    ]
    sourced = [t for t in (ast.get_docstring(n) or "" for n in documented) if SOURCE.search(t)]
    if not sourced:
        yield "implements a scheme but no docstring states 'Source: …'"
    elif not any(CITATION.search(text) for text in sourced):
        yield "its 'Source:' names no paper with a year, no RFC, no page"


def implements_scheme(path: Path, tree: ast.Module) -> bool:
    """Return whether a file must name a source: protocol cores, and what has code of its own."""
    if "operators" in path.parts:
        return path.name == "core.py"
    return path.name not in PLUMBING and any(isinstance(n, FunctionNode) for n in tree.body)


def check_file(path: Path, tree: ast.Module, aliases: dict[str, Annotation]) -> Iterator[Finding]:
    """Check one file."""
    if implements_scheme(path, tree):
        yield from (Finding(relative(path), 1, fault) for fault in file_faults(tree))
    raisers = raising(tree)
    for owner, node in public_items(tree):
        faults = (
            class_faults(node, aliases)
            if isinstance(node, ast.ClassDef)
            else function_faults(node, aliases, raisers)
        )
        for fault in faults:
            yield Finding(relative(path), node.lineno, f"{owner}{node.name} {fault}")


def public_items(tree: ast.Module) -> Iterator[tuple[str, FunctionNode | ast.ClassDef]]:
    """Return public functions, classes and methods with the prefix of their name."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | FunctionNode) and not node.name.startswith("_"):
            yield "", node
            if isinstance(node, ast.ClassDef):
                methods = (n for n in node.body if isinstance(n, FunctionNode))
                yield from ((f"{node.name}.", m) for m in methods if not m.name.startswith("_"))


def main() -> int:
    """Check the rooms that exist."""
    paths = [p for r in ROOMS for p in python_files(f"src/atoll/{r}") if p.name not in SKIPPED]
    trees = [ast.parse(path.read_text()) for path in paths]
    aliases = array_aliases(trees)
    findings = [f for p, t in zip(paths, trees, strict=True) for f in check_file(p, t, aliases)]
    return report(findings, "CONTRIBUTING.md, 'What a docstring states'")


if __name__ == "__main__":
    sys.exit(main())
