"""Text that others made, on its way to a person's terminal or a log.

Control characters move the cursor and write lines of their own, direction characters turn text
round. What Python does not call printable is replaced or escaped; a tab is a space.
"""

from __future__ import annotations

import json
from typing import Any

REPLACED = "\N{REPLACEMENT CHARACTER}"


def clean(text: object) -> str:
    """Return a text as one line that cannot steer a terminal."""
    whole = str(text)
    if whole.isprintable():
        return whole
    return "".join(char if char.isprintable() else REPLACED for char in whole)


def clean_lines(text: str) -> str:
    """Return a text whose lines were put together by us, each of them cleaned."""
    return "\n".join(clean(line.replace("\t", "    ")) for line in text.split("\n"))


def to_json(value: Any, **options: Any) -> str:
    """Return a value as JSON that reads as before and cannot steer a terminal."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, **options)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )
