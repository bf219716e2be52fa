"""The reference page of a catalogue, as Markdown: ``python -m atoll.components.page``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from atoll.components.api import Catalogue, Component
from atoll.components.catalogue import CATALOGUE
from atoll.jobs.schema import Port, Purpose

_HEAD = """# Components

The steps that a job may name. This page is made from the catalogue; `python -m
atoll.components.page` prints it again, and a test compares the two. [Jobs](jobs.md) states how
steps are put together, and [Writing a component](../guide/components.md) how to add one of your
own.

"At each party" asks that all of them have the input, "aligned" that the parties agreed on its rows
(an intersection, or the reader's `aligned`), "labelled" that the guest's has a label.

Each party may set the parameters marked "own" for itself (`overrides` of a step); all others are
part of what the parties agree on.
"""
_BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}


def page(catalogue: Catalogue) -> str:
    """Return the page."""
    return "\n".join([_HEAD, *(section(component) for component in catalogue.values())])


def section(component: Component) -> str:
    """Return the section of one component: what it does, its ports and its parameters."""
    summary = (sys.modules[component.run.__module__].__doc__ or component.name).split("\n\n")[0]
    lines = [f"## {component.name}", "", " ".join(summary.split()), ""]
    lines += [f"- Inputs: {_inputs(component) or 'none'}"]
    outputs = ", ".join(f"`{name}` ({kind})" for name, kind in component.outputs.items())
    lines += [f"- Outputs: {outputs or 'none'}"]
    taking = (f"{role.value} ({wanted})" for role, wanted in component.roles.items())
    lines += [f"- Roles: {', '.join(taking)}"]
    rows = list(_rows(component.parameters))
    if rows:
        lines += ["", "| parameter | default | allowed | own | what it does |"]
        lines += ["|---|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _inputs(component: Component) -> str:
    return ", ".join(f"`{name}` ({_port(port)})" for name, port in component.inputs.items())


def _port(port: Port) -> str:
    words = [" or ".join(port.kinds)]
    words += ["several"] * port.many + ["optional"] * port.optional
    words += ["at each party"] * port.everywhere + ["aligned"] * port.aligned
    words += {"any": ["labelled"], "binary": ["labelled 0 and 1"]}.get(port.label, [])
    if port.purpose is not Purpose.DATA:
        words.append(f"to {port.purpose.value}" if _is_verb(port.purpose) else port.purpose.value)
    return ", ".join(words)


def _is_verb(purpose: Purpose) -> bool:
    return purpose in (Purpose.TRAIN, Purpose.VALIDATE, Purpose.TEST)


def _rows(parameters: type[BaseModel]) -> Iterator[str]:
    schema = parameters.model_json_schema().get("properties", {})
    for name, info in parameters.model_fields.items():
        extra = info.json_schema_extra
        own = "yes" if isinstance(extra, dict) and extra.get("party") is True else ""
        cells = (f"`{name}`", _default(info), _allowed(info, schema.get(name, {})), own)
        yield f"| {' | '.join((*cells, info.description or ''))} |"


def _default(info: FieldInfo) -> str:
    value = info.default
    if info.default_factory is not None or value is None or value is PydanticUndefined:
        return "required" if info.is_required() else ""
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.value if isinstance(value, Enum) else value)


def _allowed(info: FieldInfo, form: dict[str, Any]) -> str:
    if "enum" in form:
        return ", ".join(str(choice) for choice in form["enum"])
    if form.get("type") == "boolean":
        return "true, false"
    found = [
        text.format(_number(getattr(entry, key)))
        for entry in info.metadata
        for key, text in _BOUNDS.items()
        if hasattr(entry, key)
    ]
    return ", ".join(found)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    large = value > 1 << 16 and value & (value - 1) == 0
    return f"2^{value.bit_length() - 1}" if large else f"{value:,}"


if __name__ == "__main__":
    sys.stdout.write(page(CATALOGUE))
