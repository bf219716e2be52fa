"""Reads job files: JSON, TOML or YAML, each key once and nothing but plain values."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from atoll.core.errors import UserError
from atoll.jobs.errors import NotFoundError

JOB_FILE_BYTES = 1 << 20
_DEPTH = 64
_YAML = {".yaml", ".yml"}


def read_plain(path: Path) -> Any:
    """Read a file of at most 1 MiB as plain values. Errors: ATL-JOB-003."""
    if not path.is_file():
        raise NotFoundError("ATL-JOB-003", "there is no such job file", place=str(path))
    if path.stat().st_size > JOB_FILE_BYTES:
        raise UserError("ATL-JOB-003", "a job file has at most 1 MiB", place=str(path))
    try:
        return _parse(path.read_text(encoding="utf-8"), path.suffix)
    except (ValueError, RecursionError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise UserError(
            "ATL-JOB-003",
            f"the job file cannot be read: {reason}",
            place=str(path),
            hint="a job is JSON (or TOML or YAML where the name ends in .toml, .yaml or .yml)",
        ) from error


def _parse(text: str, suffix: str) -> Any:
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix in _YAML:
        return _yaml(text)
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _yaml(text: str) -> Any:
    # Few jobs are YAML, and every command line start would pay for the import.
    import yaml

    try:
        _refuse_bombs(text)
        _refuse_repeated(yaml.compose(text, Loader=yaml.CSafeLoader))
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        # The mark's own text quotes the file.
        line = 0 if error.problem_mark is None else error.problem_mark.line + 1
        raise ValueError(f"{error.problem or 'not YAML'} (line {line})") from error
    except yaml.YAMLError as error:
        raise ValueError("not YAML") from error


def _refuse_bombs(text: str) -> None:
    """Refuse aliases, which can grow a small file without bound, and deep nesting."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("aliases are not taken")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise ValueError("it is nested too deeply")


def _refuse_repeated(root: Any) -> None:
    import yaml

    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len(keys) != len(node.value) or len(set(keys)) != len(keys):
                raise ValueError("a key occurs twice or is no text")
            waiting += [value for _, value in node.value]
