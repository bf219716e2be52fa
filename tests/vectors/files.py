"""Vectors in files: where they lie, what each says of itself, and how they are written."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TOP = FOLDER.parents[1]
# What each file says of itself before its content.
HEAD = ("format", "about", "made_by", "commit")


def read(path: Path) -> dict[str, Any]:
    """Return a file's content; it must say where it comes from."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if list(found)[: len(HEAD)] != list(HEAD) or not all(found[name] for name in HEAD):
        raise ValueError(f"{path.name} does not say where it comes from")
    return found


def write(path: Path, head: dict[str, str], rows: dict[str, Any]) -> None:
    """Write a file: its head, then each list or map with one entry a line, for readable diffs."""
    parts = [f"{json.dumps(name)}: {json.dumps(head[name])}" for name in HEAD]
    for name, value in rows.items():
        if isinstance(value, dict):
            lines = [f"{json.dumps(key)}: {_line(entry)}" for key, entry in value.items()]
        else:
            lines = [_line(entry) for entry in value]
        begin, end = "{}" if isinstance(value, dict) else "[]"
        body = ",\n".join(lines)
        parts.append(f"{json.dumps(name)}: {begin}\n{body}\n{end}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def commit() -> str:
    """Return the commit of the source by which a file is made."""
    asked = ["git", "-C", str(TOP), "rev-parse", "HEAD"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def names(folder: str) -> Iterable[Path]:
    """Return the files of a folder, by name. Errors: ValueError there is none."""
    found = sorted((FOLDER / folder).glob("*.json"))
    if not found:
        raise ValueError(f"there are no vectors in {folder}")
    return found


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
