"""Reading a request's body: strict JSON, sizes before memory, and a clock that a slow sender loses.

The middleware counts every byte; here JSON becomes values that our codec and our databases can
hold: no duplicate keys, no NaN, no integer beyond 64 bits, no NUL.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from atoll.core import codec, strict
from atoll.core.errors import AtollError
from atoll.flow.api.errors import malformed
from atoll.flow.api.settings import BODY_BYTES

_LOW, _HIGH = -(1 << 63), (1 << 63) - 1
DEPTH = 64
_LONG = 64 << 10


def parse(data: bytes, limit: int = BODY_BYTES) -> Any:
    """Return the value of a JSON body of an address that takes ``limit`` bytes.

    Errors: ATL-API-005 not such JSON, or its values would take more than four times the limit.
    """
    try:
        codec.judge_json(data, depth=DEPTH, memory=codec.document_memory(limit))
    except AtollError as error:
        raise malformed(error.message) from error
    try:
        value = json.loads(
            str(data, "utf-8"),
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_number,
            object_pairs_hook=_object,
        )
    except ValueError as error:
        reason = "the body is not JSON"
        if isinstance(error, json.JSONDecodeError):
            reason += f" (line {error.lineno}, column {error.colno})"
        raise malformed(reason) from error
    except RecursionError as error:
        raise malformed("the body is nested too deeply") from error
    _refuse_depth(value)
    return value


def _no_constant(text: str) -> NoReturn:
    raise malformed(f"JSON has no {text}")


def _integer(text: str) -> int:
    if len(text) > 20 or not _LOW <= int(text) <= _HIGH:
        raise malformed("an integer is beyond 64 bits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise malformed("a number is beyond 64-bit floats")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise malformed("a key occurs twice")
    return found


def _refuse_depth(value: Any) -> None:
    """Refuse deep nesting and text that no database holds, without recursion."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEPTH:
            raise malformed("the body is nested too deeply")
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _refuse_text(item)
            elif isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
        level = below


def _refuse_text(text: str) -> None:
    if "\0" in text:
        raise malformed("a text holds a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise malformed("a text holds half of a surrogate pair") from error


class StrictRequest(Request):
    """A request whose JSON is read by ``parse``, before the framework asks for it."""

    async def load(self, kind: Any = None) -> None:
        """Read the body, parse it, and make a ``kind`` of it; a long one off the event loop.

        Errors: ATL-API-001, ATL-API-005, those of the body's limits.
        """
        data = await self.body()
        media = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if data and media != "application/json":
            raise malformed("the body's type is not application/json")
        if len(data) > _LONG:
            # Whoever raises the limit of bodies raises what they may take.
            limit = max(BODY_BYTES, len(data))
            self._value = await run_in_threadpool(_made, data, kind, limit)
        else:
            self._value = _made(data, kind) if data else None

    async def json(self) -> Any:
        """Return the body's value."""
        return self._value


def _made(data: bytes, kind: Any, limit: int = BODY_BYTES) -> Any:
    """Return the value of a body; the framework takes a ``kind`` as it is.

    The first thing that is wrong with a list or a map ends the reading: the framework would note
    each, which takes a hundred times the body.
    """
    value = parse(data, limit)
    if kind is None or value is None:
        return value
    try:
        return strict.read(kind, value)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        placed = [{**one, "loc": ("body", *one["loc"])} for one in found]
        raise RequestValidationError(placed) from None
