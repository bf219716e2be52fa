"""Words that do not come back: in names, and in docstrings, comments and pages.

Each stood for something that the field has a standard word for; the table gives that word. Names
of tests are sentences and stay free; so do strings, which may be wire names or error codes.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tools.common import ROOT, Finding, python_files, relative, report, rust_files

# A part of a name in any folder (``was_told`` and ``WasTold`` both have ``told``).
PARTS = {
    "anew": "again, fresh",
    "bereave": "on_peer_lost",
    "bury": "reap, remove",
    "door": "entry, endpoint",
    "doors": "entries, endpoints",
    "hear": "receive",
    "heard": "received, last_contact",
    "hears": "receives",
    "lament": "report_failure",
    "mood": "configuration, options",
    "outrun": "the condition that is lost",
    "reckon": "compute, estimate",
    "said": "what it is: message, answer, declaration",
    "solitude": "a seat without peers",
    "spoken": "sync_traffic, messages",
    "surroundings": "environment, resources",
    "talking": "sharing, linked",
    "telling": "sending, writing",
    "tells": "sends, reports, returns",
    "told": "sent, reported, notified",
    "twin": "copy, duplicate",
    "twins": "copies, duplicates",
    "untold": "hidden",
    "voice": "writer, event_writer",
}
# A whole name in any folder.
NAMES = {
    "by_hand": "explicit, computed",
    "give": "print_text, emit",
    "give_json": "print_json",
    "keep_pandas_out": "hide_pandas",
    "no_pandas": "hide_pandas",
    "person_watches": "is_interactive",
    "say": "info, send",
    "set_mood": "configure",
    "tell": "send, emit, notify, report",
    "_is_echo": "_is_consequence",
    "_live": "_run",
    "_say": "_write",
    "Keeper": "Owner",
    "NOBODY": "NO_EDGES",
    "Demand": "Exposure",
    "Place": "the resource it stands for",
    "Tally": "Counts",
    "Turn": "Round, Step",
}
# A whole name in the product itself; tests have a component of this name.
PRODUCT_NAMES = {
    "demands": "exposure",
    "tally": "counts",
    "toy": "synthetic",
}
# The name of a Python module.
MODULES = {
    "door": "entry, endpoint",
    "head": "what it begins",
    "light": "what it leaves out",
    "look": "inspection",
    "no_pandas": "hide_pandas",
    "solitude": "null_transport",
    "talk": "exchange",
    "told": "task_events",
    "voice": "events",
}
# The name of a Rust module or type, in any case.
RUST = {
    "desk": "state",
    "gate": "gateway",
    "lend": "splice",
    "letter": "frame, envelope",
    "line": "connection, stream",
    "link": "connection",
    "site": "endpoint",
    "word": "handshake, name",
}
# In docstrings, comments and pages; patterns of whole words, in any case.
PROSE = {
    r"anew": "again, afresh",
    r"hangs? on": "depends on",
    r"is said (of|to)": "is stated about, is declared to",
    r"nobody": "no party, no one; or name who",
    r"says? of": "states about",
    r"somebody": "someone; or name who",
    r"telling": "sending, reporting",
    r"tells?": "sends, reports, returns, shows",
    r"told": "sent, reported, notified",
    r"untold": "hidden",
}
# Records and history stay as they were written.
PAGES = ("docs/guide", "docs/reference", "docs/protocols", "docs/errors", "docs/security")

_PROSE = {re.compile(rf"\b(?:{word})\b", re.IGNORECASE): use for word, use in PROSE.items()}
_CODE = re.compile(r"``[^`]*``|`[^`\n]*`|\]\([^)]*\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SPLIT = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_RUST = re.compile(
    r"^\s*(?:pub(?:\([a-z]+\))? )?(?:mod|struct|enum|trait|type) (\w+)", re.MULTILINE
)


def name_findings(path: Path, text: str, *, product: bool = True) -> Iterator[Finding]:
    """Find the names of a Python file that hold a listed word."""
    if path.stem in MODULES:
        yield Finding(relative(path), 1, f"module {path.stem}: {MODULES[path.stem]}")
    whole = NAMES | PRODUCT_NAMES if product else NAMES
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = token.string
        if token.type != tokenize.NAME or name.startswith("test_") or _foreign(token):
            continue
        found = {whole[name]} if name in whole else set()
        found |= {PARTS[part.lower()] for part in _SPLIT.findall(name) if part.lower() in PARTS}
        for use in sorted(found):
            yield Finding(relative(path), token.start[0], f"{name}: {use}")


def _foreign(token: tokenize.TokenInfo) -> bool:
    # ``file.tell()`` is the standard library's.
    return token.string == "tell" and token.line[: token.start[1]].endswith("file.")


def prose_findings(path: Path, text: str) -> Iterator[Finding]:
    """Find the listed words in the docstrings and comments of a Python file."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_docstring = token.type == tokenize.STRING and token.line.lstrip().startswith('"""')
        if is_docstring or token.type == tokenize.COMMENT:
            yield from _in_prose(path, token.string, token.start[0])


def page_findings(path: Path, text: str) -> Iterator[Finding]:
    """Find the listed words in a page, outside of code and of the targets of links."""
    yield from _in_prose(path, _FENCE.sub(_blank, text), 1)


def _blank(code: re.Match[str]) -> str:
    return "\n" * code[0].count("\n")


def _in_prose(path: Path, text: str, first: int) -> Iterator[Finding]:
    plain = _CODE.sub(_blank, text)
    for number, line in enumerate(plain.split("\n"), first):
        for word, use in _PROSE.items():
            for match in word.finditer(line):
                yield Finding(relative(path), number, f"{match[0]!r}: {use}")


def rust_findings(path: Path, text: str) -> Iterator[Finding]:
    """Find the listed words as names of modules and types of a Rust file."""
    for match in _RUST.finditer(text):
        use = RUST.get(match[1].lower())
        if use:
            line = text.count("\n", 0, match.start(1)) + 1
            yield Finding(relative(path), line, f"{match[1]}: {use}")


def pages() -> Iterator[Path]:
    """Yield the pages that are held to the list, and the templates of components."""
    for folder in PAGES:
        yield from sorted((ROOT / folder).rglob("*.md"))
    yield from (ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md"))
    yield from sorted((ROOT / "src/atoll/components/template").rglob("*.txt"))


def main() -> int:
    """Report every listed word; fail if there is one."""
    findings: list[Finding] = []
    for path in python_files("src", "tests", "tools", "bench", "examples"):
        if path == Path(__file__).resolve():
            continue
        text = path.read_text()
        in_tests = path.is_relative_to(ROOT / "tests")
        findings += name_findings(path, text, product=not in_tests)
        if not in_tests:
            findings += prose_findings(path, text)
    for path in rust_files():
        findings += rust_findings(path, path.read_text())
    for path in pages():
        findings += page_findings(path, path.read_text())
    return report(findings, "one word per thing, the field's; tools/words.py has what to write")


if __name__ == "__main__":
    sys.exit(main())
