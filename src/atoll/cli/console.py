"""Standard output is data, standard error is for messages; colours only where a person watches.

Whatever is written here may hold text of partners or of files: it is cleaned here, once for all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from atoll.core.errors import AtollError
from atoll.core.printable import clean, clean_lines, to_json

_RED, _DIM, _PLAIN = "\033[31m", "\033[2m", "\033[0m"
# Characters that a cell of a table shows: all rows are as wide as the longest.
CELL = 256
_OPTIONS = {"colour": True, "traces": False}


def configure(*, colour: bool = True, traces: bool = False) -> None:
    """Return whether colours are welcome, and whether a fault shows where it was."""
    _OPTIONS.update(colour=colour, traces=traces)


def traces() -> bool:
    """Return whether a fault shows where it was."""
    return _OPTIONS["traces"] or os.environ.get("ATOLL_TRACEBACK") == "1"


def is_interactive() -> bool:
    """Return whether standard error is a terminal that can redraw lines."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def colours() -> bool:
    """Return whether messages may be coloured (https://no-color.org)."""
    return _OPTIONS["colour"] and is_interactive() and not os.environ.get("NO_COLOR")


def info(text: str) -> None:
    """Write a message for the user, without what would steer a terminal."""
    _message(clean_lines(text))


def _message(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_text(text: str) -> None:
    """Write data that was asked for, without what would steer a terminal."""
    sys.stdout.write(clean_lines(text) + "\n")
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """Write one JSON value."""
    print_text(to_json(value, indent=2))


def print_json_line(value: Any) -> None:
    """Write one JSON value on one line."""
    print_text(to_json(value))


def error_lines(error: AtollError) -> list[str]:
    """Return an error as lines: code and message, then place, party, phase, hint."""
    lines = [clean(f"error {error.code}: {error.message}")]
    for name in ("place", "party", "phase", "hint"):
        value = getattr(error, name)
        if value:
            lines.append(clean(f"  {name}: {value}"))
    return lines


def show_error(error: AtollError) -> None:
    """Write an error for the user."""
    first, *rest = error_lines(error)
    if colours():
        first, rest = f"{_RED}{first}{_PLAIN}", [f"{_DIM}{line}{_PLAIN}" for line in rest]
    _message("\n".join([first, *rest]))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as columns, numbers to the right; the first row is the head.

    What is longer than ``CELL`` characters is cut; --json has all of it.
    """
    rows = [[cut(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    right = [at > 0 and all(_number(row[at]) for row in rows[1:]) for at in range(len(widths))]
    lines = []
    for row in rows:
        cells = zip(row, widths, right, strict=True)
        lines.append("  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in cells).rstrip())
    return "\n".join(lines)


def cut(text: str) -> str:
    """Return a text with at most ``CELL`` characters; … stands for the rest."""
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"


def _number(cell: str) -> bool:
    return not cell or cell[0].isdigit()


def amount(count: float) -> str:
    """Return a number of bytes for people."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
