"""YAML without its surprises: plain values only; nothing is guessed and nothing grows.

A date, ``yes`` and ``no`` stay text, as does a number in quotes; a key is text (``9999: guest``
names the party "9999") and occurs once; tags, merge keys and aliases, which can blow a small text
up, are refused. Values are made from the parser's events: its nodes take a thousand bytes each.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

DEPTH = 64
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = {"": None, "null": None, "~": None, "true": True, "false": False}
_TAG = "tag:yaml.org,2002:"
_CONTAINER, _SCALAR = 256, 96


def read_yaml(text: str, memory: int) -> Any:
    """Return the values of a YAML text, which may take ``memory`` bytes.

    Errors: ValueError with the reason and line.
    """
    # Few jobs are YAML, and every command line start would pay for the import.
    import yaml

    try:
        return _document(_counted(yaml.parse(text, Loader=yaml.CSafeLoader), memory))
    except yaml.MarkedYAMLError as error:
        # The mark's own text quotes the file.
        line = 0 if error.problem_mark is None else error.problem_mark.line + 1
        raise ValueError(f"{error.problem or 'not YAML'} (line {line})") from error
    except yaml.YAMLError as error:
        raise ValueError("not YAML") from error


def _counted(events: Iterator[yaml.Event], memory: int) -> Iterator[yaml.Event]:
    """Pass events on; refuse aliases, deep nesting and too many values."""
    import yaml

    depth, spent = 0, 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("aliases are not taken")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            spent += _CONTAINER
        elif isinstance(event, yaml.ScalarEvent):
            spent += _SCALAR + len(event.value)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError("it is nested too deeply")
        if spent > memory:
            raise ValueError("it has more structure than its size allows")
        yield event


def _document(events: Iterator[yaml.Event]) -> Any:
    import yaml

    next(events)
    if isinstance(next(events), yaml.StreamEndEvent):
        return None
    value = _value(next(events), events)
    next(events)
    if not isinstance(next(events), yaml.StreamEndEvent):
        raise ValueError("there is more than one document")
    return value


def _value(event: yaml.Event, events: Iterator[yaml.Event]) -> Any:
    import yaml

    line = event.start_mark.line + 1
    if isinstance(event, yaml.SequenceStartEvent):
        _require(event.tag in (None, "!", f"{_TAG}seq"), "a tag is not taken", line)
        found = []
        while not isinstance(entry := next(events), yaml.SequenceEndEvent):
            found.append(_value(entry, events))
        return found
    if isinstance(event, yaml.MappingStartEvent):
        _require(event.tag in (None, "!", f"{_TAG}map"), "a tag is not taken", line)
        return _mapping(events)
    return _scalar(event, line)


def _mapping(events: Iterator[yaml.Event]) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = {}
    while not isinstance(key := next(events), yaml.MappingEndEvent):
        line = key.start_mark.line + 1
        _require(isinstance(key, yaml.ScalarEvent), "a key occurs twice or is no text", line)
        name = key.value
        _require(name != "<<" or bool(key.style), "a merge key is not taken", line)
        _require(name not in found, "a key occurs twice or is no text", line)
        found[name] = _value(next(events), events)
    return found


def _scalar(event: yaml.ScalarEvent, line: int) -> Any:
    text: str = event.value
    _require(event.tag in (None, "!") or event.tag.startswith(_TAG), "a tag is not taken", line)
    if event.style:
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
