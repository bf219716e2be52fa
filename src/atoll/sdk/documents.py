"""Jobs as text: YAML and JSON that ``jobs.reading`` gives back as the same values."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from atoll.core.errors import UserError
from atoll.jobs.plain_yaml import NUMBER
from atoll.jobs.reading import JOB_FILE_BYTES, parse_plain

_SIMPLE = re.compile(r"[\x20-\x7e\u00a1-\u00ff\u0370-\u1fff\u3001-\u9fff]*")
_FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json"}


def format_of(path: Path) -> str:
    """Return ``yaml`` or ``json`` by the ending of a name. Errors: ATL-SDK-004."""
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise UserError(
            "ATL-SDK-004",
            "the file's suffix names no format that can be written",
            place=str(path),
            hint="use " + ", ".join(_FORMATS),
        )
    return found


def loads(data: bytes | str, form: str) -> Any:
    """Read plain values out of ``yaml``, ``json`` or ``toml``. Errors: ATL-SDK-005."""
    raw = data.encode() if isinstance(data, str) else data
    if len(raw) > JOB_FILE_BYTES:
        raise _unreadable("it is larger than 1 MiB")
    try:
        return parse_plain(raw, f".{form}")
    except UnicodeDecodeError as error:
        raise _unreadable("it is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        reason = "too deep" if isinstance(error, RecursionError) else str(error)
        raise _unreadable(reason) from error


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
        raise _unreadable(str(error)) from error


def _unreadable(reason: str) -> UserError:
    return UserError(
        "ATL-SDK-005",
        f"the text cannot be read: {reason}",
        hint="a job is YAML, JSON or TOML; check it with: atoll job check",
    )


def _check_finite(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    for entry in value.values() if isinstance(value, dict) else ():
        _check_finite(entry)
    for entry in value if isinstance(value, list | tuple) else ():
        _check_finite(entry)


def _dumper() -> Any:
    """Return a dumper that quotes whatever reading would not give back as text."""
    import yaml

    class Dumper(yaml.SafeDumper):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        style = "'" if NUMBER.fullmatch(value) else None
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
