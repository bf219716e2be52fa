"""Reads job files: JSON, TOML or YAML, each key once and nothing but plain values."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from atoll.core import codec
from atoll.core.errors import AtollError, UserError
from atoll.jobs.errors import NotFoundError
from atoll.jobs.plain_yaml import DEPTH, read_yaml

JOB_FILE_BYTES = 1 << 20
_YAML = {".yaml", ".yml"}
# What a TOML value, table or key can begin with, and what one may take.
_STRUCTURE = "[{,=."
_MOST = 256
_WIDE, _WIDE_BYTES = 0xF0, JOB_FILE_BYTES >> 2


def read_plain(path: Path) -> Any:
    """Read a file of at most 1 MiB as plain values. Errors: ATL-JOB-003."""
    if not path.is_file():
        raise NotFoundError("ATL-JOB-003", "there is no such job file", place=str(path))
    if path.stat().st_size > JOB_FILE_BYTES:
        raise UserError("ATL-JOB-003", "a job file has at most 1 MiB", place=str(path))
    try:
        return parse_plain(path.read_bytes(), path.suffix)
    except (ValueError, RecursionError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise UserError(
            "ATL-JOB-003",
            f"the job file cannot be read: {reason}",
            place=str(path),
            hint="a job is JSON (or TOML or YAML where the name ends in .toml, .yaml or .yml)",
        ) from error


def parse_plain(data: bytes, suffix: str) -> Any:
    """Return the plain values of a UTF-8 text, which take at most a few MiB.

    Errors: ValueError, RecursionError.
    """
    memory = codec.document_memory(JOB_FILE_BYTES)
    # One such character makes Python hold four bytes for every letter.
    if len(data) > _WIDE_BYTES and max(data) >= _WIDE:
        raise ValueError("it is too long for characters beyond U+FFFF")
    text = str(data, "utf-8")
    if suffix == ".toml":
        if sum(map(text.count, _STRUCTURE)) * _MOST > memory:
            raise ValueError("it has more structure than its size allows")
        return tomllib.loads(text)
    if suffix in _YAML:
        return read_yaml(text, memory)
    try:
        codec.judge_json(data, depth=DEPTH, memory=memory)
    except AtollError as error:
        raise ValueError(error.message) from error
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found
