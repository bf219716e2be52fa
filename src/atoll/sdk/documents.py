"""Jobs as text: YAML, JSON and TOML in and out, read so that nothing is guessed and nothing grows.

YAML is taken without its surprises: a date, ``yes`` and ``no`` stay text, a key occurs once and is
text, tags make no objects, and aliases cannot blow a small file up.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atoll.core.errors import UserError
from atoll.jobs.definition import JOB_FILE_BYTES
from atoll.jobs.errors import NotFoundError

if TYPE_CHECKING:
    import yaml

ALIASES = 64
NODES = 100_000
DEPTH = 64
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_SIMPLE = re.compile(r"[\x20-\x7e\u00a1-\u00ff\u0370-\u1fff\u3001-\u9fff]*")
_FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}


def format_of(path: Path) -> str:
    """Return ``yaml``, ``json`` or ``toml`` by the ending of a name. Errors: ATL-SDK-004."""
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise UserError(
            "ATL-SDK-004",
            "the ending of the file's name tells no format",
            place=str(path),
            hint="use " + ", ".join(_FORMATS),
        )
    return found


def read_file(path: Path) -> Any:
    """Read a file in the format of its name.

    Errors: ATL-JOB-003 there is none, ATL-SDK-004 unknown ending, ATL-SDK-005 it cannot be read.
    """
    form = format_of(path)
    if not path.is_file():
        raise NotFoundError("ATL-JOB-003", "there is no such file", place=str(path))
    with path.open("rb") as file:
        data = file.read(JOB_FILE_BYTES + 1)
    return loads(data, form, place=str(path))


def loads(data: bytes | str, form: str, *, place: str | None = None) -> Any:
    """Read plain values out of text in a format. Errors: ATL-SDK-005."""
    raw = data.encode() if isinstance(data, str) else data
    if len(raw) > JOB_FILE_BYTES:
        raise _unreadable("it is larger than 1 MiB", place)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable("it is not UTF-8", place) from error
    try:
        if form == "json":
            return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        return tomllib.loads(text) if form == "toml" else _yaml(text)
    except (ValueError, RecursionError) as error:
        reason = "too deep" if isinstance(error, RecursionError) else str(error)
        raise _unreadable(reason, place) from error


def dumps(value: Any, form: str) -> str:
    """Write plain values as text that ``loads`` gives back the same. Errors: ATL-SDK-005."""
    try:
        if form == "json":
            text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
            return text + "\n"
        import yaml

        _check_finite(value)
        return str(yaml.dump(value, Dumper=_dumper(), sort_keys=False, allow_unicode=True))
    except ValueError as error:
        raise _unreadable(str(error), None) from error


def _unreadable(reason: str, place: str | None) -> UserError:
    return UserError(
        "ATL-SDK-005",
        f"the text cannot be read: {reason}",
        place=place,
        hint="a job is YAML, JSON or TOML; check it with: atoll job check",
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


def _check_finite(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    for entry in value.values() if isinstance(value, dict) else ():
        _check_finite(entry)
    for entry in value if isinstance(value, list | tuple) else ():
        _check_finite(entry)


def _yaml(text: str) -> Any:
    import yaml

    try:
        root = _bounded(text)
        return None if root is None else _plain(root, {})
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{error.problem or 'not YAML'}{line}") from error
    except yaml.YAMLError as error:
        raise ValueError("not YAML") from error


def _bounded(text: str) -> yaml.Node | None:
    """Return the tree of nodes after its events were counted."""
    import yaml

    aliases = depth = 0
    for nodes, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if nodes > NODES or aliases > ALIASES or depth > DEPTH:
            raise ValueError("too many values, aliases or levels")
    found: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    return found


def _plain(node: yaml.Node, seen: dict[str, int], depth: int = 0) -> Any:
    """Return a node's value. Aliases are expanded, so the values are counted once more."""
    import yaml

    seen["values"] = seen.get("values", 0) + 1
    if seen["values"] > NODES or depth > DEPTH:
        raise ValueError("too many values, aliases or levels")
    line = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        _check_tag(node, "tag:yaml.org,2002:seq", line)
        return [_plain(entry, seen, depth + 1) for entry in node.value]
    if isinstance(node, yaml.MappingNode):
        _check_tag(node, "tag:yaml.org,2002:map", line)
        return _mapping(node, seen, depth)
    return _scalar(node, line)


def _check_tag(node: yaml.Node, wanted: str, line: int) -> None:
    if node.tag != wanted:
        raise ValueError(f"a tag is not taken, line {line}")


def _mapping(node: yaml.MappingNode, seen: dict[str, int], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        name = key.value
        if not isinstance(name, str) or (name == "<<" and key.style is None):
            raise ValueError(f"a key is text, line {line}")
        if name in found:
            raise ValueError(f"a key occurs twice, line {line}")
        found[name] = _plain(value, seen, depth + 1)
    return found


def _scalar(node: yaml.Node, line: int) -> Any:
    text: str = node.value
    if node.style is not None:
        return text
    if not node.tag.startswith("tag:yaml.org,2002:"):
        raise ValueError(f"a tag is not taken, line {line}")
    known = {"": None, "null": None, "~": None, "true": True, "false": False}
    if text in known:
        return known[text]
    if not _NUMBER.fullmatch(text):
        return text
    number = json.loads(text)
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"a number is not finite, line {line}")
    return number


def _dumper() -> Any:
    """Return a dumper that quotes whatever ``_scalar`` would not give back as text."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        style = "'" if _NUMBER.fullmatch(value) else None
        if not _SIMPLE.fullmatch(value):
            # Line breaks of other alphabets would be folded away in the other styles.
            style = '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    def number(dumper: Any, value: float) -> Any:
        written = json.dumps(value)
        if "." not in written:
            # Older readers take 1e-7 for text.
            written = written.replace("e", ".0e")
        return dumper.represent_scalar("tag:yaml.org,2002:float", written)

    Dumper.add_representer(str, text)
    Dumper.add_representer(float, number)
    return Dumper
