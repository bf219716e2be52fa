"""Reads what another party sent into frozen dataclasses: what their hints say, exactly.

Our own values are made by the constructors, which check nothing. Reading is strict: no field more
or less than would be sent, none of another type, no number that is not finite. Sizes are to be
checked before a value is decoded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar, cast

from pydantic import Field, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, PydanticKnownError, SchemaValidator, core_schema

T = TypeVar("T")


class WireValue:
    """Base of a dataclass that is sent as a map; a field whose default is None may be absent."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Have the names of the fields checked before their values are."""
        declared = fields(cls)  # type: ignore[arg-type]
        known = frozenset(field.name for field in declared)
        needed = frozenset(field.name for field in declared if field.default is not None)

        def exact(value: Any) -> Any:
            if type(value) is not dict or not needed <= value.keys() <= known:
                raise ValueError("it has other fields")
            if None in value.values():
                raise ValueError("a field that is absent is left out")
            return value

        return core_schema.no_info_before_validator_function(exact, handler(source))


def text(form: str) -> Any:
    """Return what says in a hint that a text has a form, all of it."""
    return Field(strict=True, pattern=f"^(?:{form})$")


def printable(text: str) -> str:
    """Return a text that people are shown, in plans, terminals and logs.

    Errors: ValueError characters of it do not print.
    """
    if not text.isprintable():
        raise ValueError("it is not printable")
    return text


def at_most(entries: int) -> Any:
    """Return what says in a hint how many entries a map or a list may have; the first wrong one
    ends the reading, so that no more is kept of them.
    """
    return Field(max_length=entries, fail_fast=True)


def read(kind: Callable[..., T], value: Any) -> T:
    """Return a plain value as a dataclass or model; the first thing wrong ends the reading.

    Nothing else is kept of what is wrong: its description could be a hundred times as long as
    what was sent. Errors: ValueError (pydantic's) it has another form.
    """
    found: T = validator(kind).validate_python(value)
    return found


@functools.cache
def validator(kind: Any) -> SchemaValidator:
    """Return what reads values of a kind, as ``read`` does."""
    # What pydantic has built for a model already would be taken in place of its changed schema.
    return SchemaValidator(_hasty(TypeAdapter(kind).core_schema), _use_prebuilt=False)


_SEVERAL = frozenset({"list", "tuple", "set", "frozenset", "dict"})


def _hasty(schema: Any) -> Any:
    """Return pydantic's schema of a kind so that what has several parts ends at the first wrong
    one, maps are counted before they are read, and numbers are finite.
    """
    if isinstance(schema, list):
        return [_hasty(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    # A map of fields by their names, one of which may be called so, is no schema itself.
    kept = ("metadata", "default", "serialization") if isinstance(kind, str) else ()
    made = {name: part if name in kept else _hasty(part) for name, part in schema.items()}
    if not isinstance(kind, str):
        return made
    if kind in _SEVERAL:
        made["fail_fast"] = True
    if kind == "float":
        # No JSON and no database takes another: what holds one could not be written.
        made["allow_inf_nan"] = False
    if kind == "dict" and "max_length" in schema:
        return _after(_counted(schema["max_length"]), made)
    if kind == "model-fields":
        return _after(_with_one_unknown(frozenset(schema["fields"])), made)
    return made


def _after(check: Callable[[Any], Any], schema: dict[str, Any]) -> CoreSchema:
    # A definition is found by its name wherever it is: the whole of it goes by that.
    reference = schema.pop("ref", None)
    return core_schema.no_info_before_validator_function(
        check, cast(CoreSchema, schema), ref=reference
    )


def _counted(most: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > most:
            context = {"field_type": "Dictionary", "max_length": most, "actual_length": len(value)}
            raise PydanticKnownError("too_long", context)
        return value

    return check


def _with_one_unknown(fields: frozenset[str]) -> Callable[[Any], Any]:
    """Return what leaves one unknown field in a map, to be refused: each would be named."""

    def check(value: Any) -> Any:
        if not isinstance(value, dict) or len(value) <= len(fields):
            return value
        kept = {name: value[name] for name in fields if name in value}
        unknown = next((name for name in value if name not in fields), None)
        return kept if unknown is None else {**kept, unknown: value[unknown]}

    return check


def reason(error: ValidationError) -> str:
    """Return where the first thing wrong is, and what; nothing of the value but names in it."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, first["loc"]))[:80]
    message = first["msg"].removeprefix("Value error, ")
    return f"{place!a}: {message}" if place else message
