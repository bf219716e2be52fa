"""YAML without its surprises: plain values only; nothing is guessed and nothing grows.

A date, ``yes`` and ``no`` stay text, as does a number in quotes; a key is text (``9999: guest``
names the party "9999") and occurs once; tags, merge keys and aliases, which can blow a small text
up, are refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

DEPTH = 64
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = {"": None, "null": None, "~": None, "true": True, "false": False}
_TAG = "tag:yaml.org,2002:"


def read_yaml(text: str) -> Any:
    """Return the values of a YAML text. Errors: ValueError with the reason and line."""
    # Few jobs are YAML, and every command line start would pay for the import.
    import yaml

    try:
        _refuse_bombs(text)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        # The mark's own text quotes the file.
        line = 0 if error.problem_mark is None else error.problem_mark.line + 1
        raise ValueError(f"{error.problem or 'not YAML'} (line {line})") from error
    except yaml.YAMLError as error:
        raise ValueError("not YAML") from error
    return None if root is None else _value(root)


def _refuse_bombs(text: str) -> None:
    """Refuse aliases and deep nesting before anything is built."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("aliases are not taken")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError("it is nested too deeply")


def _value(node: yaml.Node) -> Any:
    import yaml

    line = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        _require(node.tag == f"{_TAG}seq", "a tag is not taken", line)
        return [_value(entry) for entry in node.value]
    if isinstance(node, yaml.MappingNode):
        _require(node.tag == f"{_TAG}map", "a tag is not taken", line)
        return _mapping(node)
    return _scalar(node, line)


def _mapping(node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        line, name = key.start_mark.line + 1, key.value
        _require(isinstance(name, str), "a key occurs twice or is no text", line)
        _require(name != "<<" or bool(key.style), "a merge key is not taken", line)
        _require(name not in found, "a key occurs twice or is no text", line)
        found[name] = _value(value)
    return found


def _scalar(node: yaml.Node, line: int) -> Any:
    text: str = node.value
    _require(node.tag.startswith(_TAG), "a tag is not taken", line)
    if node.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if not NUMBER.fullmatch(text):
        return text
    number = json.loads(text)
    _require(not isinstance(number, float) or math.isfinite(number), "not a finite number", line)
    return number


def _require(right: bool, reason: str, line: int) -> None:
    if not right:
        raise ValueError(f"{reason} (line {line})")
