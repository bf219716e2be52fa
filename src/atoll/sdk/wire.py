"""Requests and answers as values, the same for the blocking and the asynchronous client.

A ``Call`` is a request with the class of its answer; nothing here opens a socket.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel

from atoll.core import codec, strict
from atoll.core.errors import AtollError, UserError
from atoll.flow.api.settings import PREFIX
from atoll.sdk.errors import from_answer

# What a node can make its client take: the bytes, and four times these as objects.
JSON_BYTES = 64 << 20
DEPTH = 80
_DIGITS = 20

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Request:
    """One HTTP request below the prefix. ``content`` is a file that is sent as it is."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    content: Path | None = None
    accept: str = "application/json"
    key: str | None = None
    anonymous: bool = False
    once: bool = False

    def url(self, base: str) -> str:
        """Return the whole address."""
        given = {name: _text(value) for name, value in self.query.items() if value is not None}
        return f"{base}{PREFIX}{self.path}" + (f"?{urlencode(given)}" if given else "")

    def headers(self, token: str | None) -> dict[str, str]:
        """Return the headers that this request needs."""
        found = {"Accept": self.accept}
        if token and not self.anonymous:
            found["Authorization"] = f"Bearer {token}"
        if self.key is not None:
            found["Idempotency-Key"] = self.key
        if self.body is not None:
            found["Content-Type"] = "application/json"
        elif self.content is not None:
            found["Content-Type"] = "application/octet-stream"
        return found

    def payload(self) -> bytes | None:
        """Return the JSON body, if there is one. Errors: ATL-SDK-005 a number that is none."""
        if self.body is None:
            return None
        try:
            return json.dumps(self.body, ensure_ascii=False, allow_nan=False).encode()
        except ValueError as error:
            raise UserError("ATL-SDK-005", "a value cannot be written as JSON") from error

    @property
    def patience(self) -> float:
        """The seconds that the node may take before it begins to answer, beyond the usual."""
        return float(self.query.get("wait") or 0.0)

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does the same as sending it once."""
        if self.once:
            return False
        return self.method in ("GET", "PUT", "DELETE") or self.key is not None


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """The seconds after which to ask again, where the node names them."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isascii() and text.isdigit() else None

    def value(self) -> Any:
        """Return the JSON value. Errors: ATL-SDK-010."""
        return parse(self.body, JSON_BYTES, self.status) if self.body else None

    def error(self) -> AtollError:
        """Return the error in this answer."""
        try:
            body = self.value()
        except AtollError:
            body = None
        return from_answer(self.status, body, self.retry_after)


class Call(Generic[T]):
    """A request, and how its answer is read; ``kind`` is None where there is nothing to read."""

    def __init__(self, request: Request, kind: type[Any] | None = None) -> None:
        self.request = request
        self._kind = kind

    def read(self, answer: Answer) -> T:
        """Return the result of an answer. Errors: those of the node, ATL-SDK-010."""
        if not answer.ok:
            raise answer.error()
        value: Any = answer.value() if self._kind is not None else None
        if self._kind is not None and issubclass(self._kind, BaseModel):
            value = view(self._kind, value)
        return value  # type: ignore[no-any-return]


def parse(data: bytes, limit: int, status: int = 200) -> Any:
    """Return the value of a node's JSON, judged before anything is built.

    Errors: ATL-SDK-010 no JSON, a number beyond 64 bits, or more structure than ``limit`` allows.
    """
    try:
        codec.judge_json(data, depth=DEPTH, memory=codec.document_memory(limit))
        return json.loads(
            str(data, "utf-8"), parse_int=_integer, parse_float=_finite, parse_constant=_finite
        )
    except (AtollError, ValueError, RecursionError) as error:
        raise unexpected(status) from error


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError("an integer is beyond 64 bits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return value


def view(kind: type[M], value: Any) -> M:
    """Return plain JSON as a result class; the first thing wrong ends the reading.

    Errors: ATL-SDK-010 of another form.
    """
    try:
        # What may have any fields is read as it is: of unknown ones the other way keeps one.
        loose = kind.model_config.get("extra") == "allow"
        return kind.model_validate(value) if loose else strict.read(kind, value)
    except ValueError as error:
        raise unexpected(200) from error


def unexpected(status: int) -> AtollError:
    """Return the error for an answer that no node of this version gives."""
    return from_answer(status, None)


def path(*parts: str | int) -> str:
    """Return a path of parts, each quoted. Errors: ATL-SDK-011 empty, or one that climbs."""
    for part in parts:
        if str(part) in ("", ".", ".."):
            raise UserError("ATL-SDK-011", "a name in an address is empty or made of dots")
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def new_key() -> str:
    """Return a fresh idempotency key."""
    return uuid.uuid4().hex


def get(kind: type[M], /, *parts: str | int, **query: Any) -> Call[M]:
    """Return a call that reads."""
    return Call(Request("GET", path(*parts), query), kind)


def post(kind: type[M], *parts: str | int, body: Any = None, key: str | None = None) -> Call[M]:
    """Return a call that changes something, keyed so that it can be repeated."""
    return Call(Request("POST", path(*parts), body=body or {}, key=key or new_key()), kind)


def secret(kind: type[M], *parts: str | int, body: Any = None, key: str | None = None) -> Call[M]:
    """Return a call whose answer is a secret: the node does not keep it, so it is sent once."""
    return Call(Request("POST", path(*parts), body=body or {}, key=key, once=True), kind)


def delete(*parts: str | int, **query: Any) -> Call[None]:
    """Return a call that removes something."""
    return Call(Request("DELETE", path(*parts), query))


def given(**values: Any) -> dict[str, Any]:
    """Return the values that are there."""
    return {name: value for name, value in values.items() if value is not None}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
