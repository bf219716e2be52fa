"""Escaped HTML pieces. Titles and names come from other parties: no text reaches a page raw."""

from __future__ import annotations

import html
import math
import unicodedata

# Invisible characters that turn the direction of text around could make a name look like another.
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def escape(value: object) -> str:
    """Return text that is safe in element content and in quoted attributes."""
    return html.escape("".join(_visible(character) for character in str(value)), quote=True)


def _visible(character: str) -> str:
    if character in "\n\t":
        return character
    if character in _DIRECTION or unicodedata.category(character) in ("Cc", "Cs"):
        return "\N{REPLACEMENT CHARACTER}"
    return character


def element(name: str, content: str = "", **attributes: object) -> str:
    """Build an element of markup that is escaped already; attribute values are escaped here.

    ``class_`` gives ``class``, other underscores become hyphens; an attribute of None is left out.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(value)}"')
    return f"<{' '.join(parts)}>{content}</{name}>"


def number(value: float) -> str:
    """Write a number for reading: integers with separators, others with five digits."""
    if isinstance(value, int):
        return f"{value:,}".replace("-", "\N{MINUS SIGN}")
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "\N{MINUS SIGN}∞")
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e9 or size < 1e-4:
        text = f"{value:.3e}"
    elif size >= 1e4:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.5g}"
    return text.replace("-", "\N{MINUS SIGN}")


def cell(value: float | int | str | None) -> str:
    """Return a value as escaped text; nothing there is a dash."""
    if value is None:
        return "–"
    return escape(value) if isinstance(value, str) else number(value)
