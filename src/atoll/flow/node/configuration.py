"""Reads a node's settings from flags, environment and file, and remembers where each came from."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from atoll.core.errors import UserError
from atoll.flow.node.settings import NodeSettings, Section
from atoll.jobs.validation import near

FILE = "atoll.toml"
FILE_BYTES = 1 << 20
PREFIX = "ATOLL_"
# Variables of the same prefix that are not a node's settings.
_OTHERS = {"NATIVE"}
_SECRET = ("password", "secret", "token")
# Settings of earlier versions that never had an effect: their default, and what every node does.
_REMOVED: Mapping[str, tuple[str, str]] = {
    "node.mode": ("standalone", "tables and workers are on the node's machine"),
    "discovery.kind": ("static", "partners are found at the addresses given with them"),
    "discovery.hosts": ("", "partners are found at the addresses given with them"),
    "queue.kind": ("embedded", "the queue is in the node's database"),
    "queue.redis_url": ("", "the queue is in the node's database"),
    "queue.redis_database": ("0", "the queue is in the node's database"),
}


@dataclass(frozen=True)
class Explained:
    """One key: its value, where that came from, its default, meaning and FATE's equivalent."""

    key: str
    value: Any
    origin: str
    default: Any
    description: str
    fate: str
    environment: str


@dataclass(frozen=True)
class Configuration:
    """A node's settings and the origin of each key that is not at its default.

    ``outdated`` names, with their origin, removed settings that were given their former default.
    """

    settings: NodeSettings
    origins: Mapping[str, str]
    outdated: tuple[str, ...] = ()

    def explain(self, key: str) -> Explained:
        """Return one key's story. Errors: ATL-SET-010 unknown key."""
        section, field = _field(key)
        value = getattr(getattr(self.settings, section), key.partition(".")[2])
        extra = field.json_schema_extra
        return Explained(
            key=key,
            value=_display(key, value),
            origin=self.origins.get(key, "default"),
            default=field.default,
            description=field.description or "",
            fate=str(extra.get("fate", "")) if isinstance(extra, dict) else "",
            environment=variable(key),
        )

    def all(self) -> list[Explained]:
        """Return every key's story, in the order of the sections."""
        return [self.explain(key) for key in keys()]


def sections() -> dict[str, type[Section]]:
    """Return the sections by name."""
    found: dict[str, type[Section]] = {}
    for name, field in NodeSettings.model_fields.items():
        assert isinstance(field.annotation, type)  # noqa: S101 -- for the type checker
        found[name] = field.annotation
    return found


def keys() -> list[str]:
    """Return every key as ``section.name``."""
    return [f"{name}.{key}" for name, kind in sections().items() for key in kind.model_fields]


def variable(key: str) -> str:
    """Return the name of the environment variable of a key."""
    section, _, name = key.partition(".")
    return f"{PREFIX}{section.upper()}__{name.upper()}"


def _field(key: str) -> tuple[str, FieldInfo]:
    section, _, name = key.partition(".")
    kind = sections().get(section)
    if kind is None or name not in kind.model_fields:
        raise _unknown(key, "")
    return section, kind.model_fields[name]


def _unknown(key: str, place: str) -> UserError:
    if key in _REMOVED:
        return UserError(
            "ATL-SET-010",
            f"the setting {key!r} was removed: {_REMOVED[key][1]}",
            place=place or key,
            hint="take it out",
        )
    return UserError(
        "ATL-SET-010", f"there is no setting {key!r}", place=place or key, hint=near(key, keys())
    )


def load(
    folder: Path | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Configuration:
    """Read the settings of a node's folder.

    ``flags`` are keys as ``section.name`` from the command line. Errors: ATL-SET-010 unknown key,
    or a removed one that asks for what no node does, ATL-SET-011 a value out of bounds or an
    unreadable file.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    outdated: list[str] = []
    where = os.environ if environment is None else environment
    for origin, found in (
        ("file", _from_file(folder)),
        ("environment", _from_environment(where)),
        ("flag", dict(flags or {})),
    ):
        for key, value in found.items():
            place = {"file": FILE, "environment": variable(key), "flag": "the command line"}
            place_text = f"{origin} ({place[origin]})"
            if key in _REMOVED:
                # An upgrade must not stop a node for a line that sets what it does anyway.
                if str(value) != _REMOVED[key][0]:
                    raise _unknown(key, place_text)
                outdated.append(f"{key}: {place_text}")
                continue
            _field(key)
            values[key] = value
            origins[key] = place_text
    return Configuration(_made(values, origins, where), origins, tuple(outdated))


def _from_file(folder: Path | None) -> dict[str, Any]:
    path = None if folder is None else folder / FILE
    if path is None or not path.exists():
        return {}
    try:
        if path.stat().st_size > FILE_BYTES:
            raise UserError("ATL-SET-011", "the file is too large", place=str(path))
        whole = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(
            "ATL-SET-011", f"the settings cannot be read: {reason}", place=str(path)
        ) from error
    found: dict[str, Any] = {}
    for section, entries in whole.items():
        if not isinstance(entries, dict):
            raise _unknown(section, str(path))
        found |= {f"{section}.{name}": value for name, value in entries.items()}
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in environment.items():
        section, mark, key = name.removeprefix(PREFIX).partition("__")
        if not name.startswith(PREFIX) or not mark or section in _OTHERS:
            continue
        key = f"{section.lower()}.{key.lower()}"
        found[key] = text if key in _REMOVED else _read_text(text, _field(key)[1])
    return found


def _read_text(text: str, field: FieldInfo) -> Any:
    """Lists come as JSON; everything else is text that the settings' types read."""
    if isinstance(field.default, tuple):
        try:
            return json.loads(text)
        except ValueError:
            return [part for part in text.split(os.pathsep) if part]
    return text


def _made(
    values: Mapping[str, Any], origins: Mapping[str, str], environment: Mapping[str, str]
) -> NodeSettings:
    nested: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = _filled(key, value, environment)
    try:
        return NodeSettings.model_validate(nested)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        raise UserError(
            "ATL-SET-011",
            f"{key}: {first['msg']}",
            place=origins.get(key, key),
            hint=f"see it with `atoll config explain {key}`",
        ) from error


def _filled(key: str, value: Any, environment: Mapping[str, str]) -> Any:
    """Put ``${NAME}`` of the environment in, so that a file holds no password."""
    if not isinstance(value, str) or "${" not in value:
        return value
    head, _, rest = value.partition("${")
    name, end, tail = rest.partition("}")
    if not end or name not in environment:
        raise UserError("ATL-SET-011", f"the variable {name!r} is not set", place=key)
    return head + environment[name] + str(_filled(key, tail, environment))


def _display(key: str, value: Any) -> Any:
    if key == "database.url" and "@" in str(value):
        scheme, _, rest = str(value).partition("://")
        return f"{scheme}://…@{rest.rpartition('@')[2]}"
    if any(word in key for word in _SECRET):
        return "…" if value and isinstance(value, str) else value
    return value


def reference() -> str:
    """Return the tables of the settings' reference page; a test compares the page with them."""
    found = load(environment={})
    parts: list[str] = []
    for name, kind in sections().items():
        parts += [f"### {name}", "", (kind.__doc__ or "").split("; unknown")[0], ""]
        parts += ["| key | default | what it does | FATE's equal |", "|---|---|---|---|"]
        for key in kind.model_fields:
            entry = found.explain(f"{name}.{key}")
            shown = json.dumps(entry.default)
            fate = ", ".join(f"`{word}`" for word in entry.fate.split(", ") if word)
            parts.append(f"| `{entry.key}` | `{shown}` | {entry.description} | {fate} |")
        parts.append("")
    return "\n".join(parts)
