"""Reads what another party sent into frozen dataclasses: what their hints say, exactly.

Our own values are made by the constructors, which check nothing. Reading is strict: no field more
or less than would be sent, none of another type. Sizes are to be checked before a value is decoded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import Field, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")
_LONGEST = 16


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


def at_most(entries: int) -> Any:
    """Return what says in a hint how many entries a map or a list may have; the first wrong one
    ends the reading, so that no more is kept of them.
    """
    return Field(max_length=entries, fail_fast=True)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read(kind: Callable[..., T], value: Any) -> T:
    """Return a plain value as a dataclass. Errors: ValueError (pydantic's) it has another form."""
    found: T = _adapter(kind).validate_python(value)
    return found


def reason(error: ValidationError) -> str:
    """Return where the first thing wrong is, and what; nothing of the value but names in it."""
    if error.error_count() > _LONGEST:
        return "many things are wrong with it"
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, first["loc"]))[:80]
    message = first["msg"].removeprefix("Value error, ")
    return f"{place!a}: {message}" if place else message
