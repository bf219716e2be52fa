"""Messages as classes: each field declares its shape, checked before use, and what it reveals.

    @dataclass(frozen=True)
    class Count(Message, kind="psi.count", version=1):
        rows: int = integer(0, 1 << 40, reveals="the size of the sender's set")
        seed: bytes = blob(32, opaque="uniform bytes")

The wire form is the canonical ``[kind, version, {field: value}]``; an array is
``[dtype, [sizes…], bytes]``, little-endian and in C order.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from atoll.core import codec
from atoll.core.errors import InternalError, PeerError

DTYPES = {"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"}


@dataclass(frozen=True)
class Spec:
    """The shape of a field, and what its receiver learns from it (or why it learns nothing)."""

    form: str
    reveals: str | None = None
    opaque: str | None = None
    low: int = 0
    high: int = 0
    dtype: str = ""
    shape: tuple[int | None, ...] = ()
    item: Spec | None = None
    optional: bool = False

    def pack(self, value: Any) -> Any:
        """Turn a field's value into its wire form."""
        if value is None and self.optional:
            return None
        if self.form == "array":
            flat = np.ascontiguousarray(value, dtype=np.dtype("<" + self.dtype))
            return [self.dtype, list(flat.shape), flat.tobytes()]
        if self.form == "items" and self.item is not None:
            return [self.item.pack(entry) for entry in value]
        return value

    def unpack(self, value: Any) -> Any:
        """Turn the wire form back into the value. Errors: ValueError if it has another shape."""
        if value is None and self.optional:
            return None
        match self.form:
            case "integer" | "count":
                return self._integer(value)
            case "boolean" if type(value) is bool:
                return value
            case "number" if type(value) is float:
                return value
            case "text" if type(value) is str and len(value.encode()) <= self.high:
                return value
            case "blob" if type(value) is bytes and self.low <= len(value) <= self.high:
                return value
            case "items" if type(value) is list and len(value) <= self.high and self.item:
                return tuple(self.item.unpack(entry) for entry in value)
            case "array":
                return self._array(value)
        raise ValueError("wrong type or size")

    def _integer(self, value: Any) -> int:
        if type(value) is not int or not self.low <= value <= self.high:
            raise ValueError("not an integer in range")
        return value

    def _array(self, value: Any) -> np.ndarray[Any, Any]:
        if type(value) is not list or len(value) != 3:
            raise ValueError("not an array")
        dtype, sizes, data = value
        if dtype != self.dtype or type(sizes) is not list or type(data) is not bytes:
            raise ValueError("not an array of this dtype")
        if len(sizes) != len(self.shape) or any(type(s) is not int or s < 0 for s in sizes):
            raise ValueError("another number of dimensions")
        if any(want is not None and want != s for want, s in zip(self.shape, sizes, strict=True)):
            raise ValueError("another shape")
        count = math.prod(sizes)
        if count > self.high or len(data) != count * np.dtype(dtype).itemsize:
            raise ValueError("sizes and bytes disagree")
        return np.frombuffer(data, dtype="<" + dtype).reshape(sizes)

    def elements(self, value: Any) -> int:
        """Count the values that the field holds: what a reveal's size formula refers to."""
        if value is None:
            return 0
        if self.form == "array":
            return int(np.size(value))
        if self.form == "items" and self.item is not None:
            return sum(self.item.elements(entry) for entry in value)
        if self.form == "count":
            return int(value)
        return len(value) if self.form == "blob" else 1


def _field(spec: Spec) -> Any:
    if (spec.reveals is None) == (spec.opaque is None):
        raise TypeError("state either what a field reveals or why it is opaque")
    return dataclasses.field(metadata={"spec": spec})


def integer(
    low: int,
    high: int,
    *,
    reveals: str | None = None,
    opaque: str | None = None,
    optional: bool = False,
) -> Any:
    """Declare an integer field within ``low``…``high`` inclusive."""
    return _field(Spec("integer", reveals, opaque, low, high, optional=optional))


def count(high: int, *, reveals: str) -> Any:
    """Declare an integer field of 0…``high`` that stands for so many revealed elements: rows."""
    return _field(Spec("count", reveals, None, 0, high))


def number(*, reveals: str | None = None, opaque: str | None = None, optional: bool = False) -> Any:
    """Declare a float field."""
    return _field(Spec("number", reveals, opaque, optional=optional))


def boolean(*, reveals: str | None = None, opaque: str | None = None) -> Any:
    """Declare a boolean field."""
    return _field(Spec("boolean", reveals, opaque))


def text(
    high: int, *, reveals: str | None = None, opaque: str | None = None, optional: bool = False
) -> Any:
    """Declare a text field of at most ``high`` UTF-8 bytes."""
    return _field(Spec("text", reveals, opaque, 0, high, optional=optional))


def blob(
    high: int,
    *,
    low: int | None = None,
    reveals: str | None = None,
    opaque: str | None = None,
    optional: bool = False,
) -> Any:
    """Declare a bytes field of ``low``…``high`` bytes; exactly ``high`` without ``low``."""
    least = high if low is None else low
    return _field(Spec("blob", reveals, opaque, least, high, optional=optional))


def array(
    dtype: str,
    shape: tuple[int | None, ...],
    high: int,
    *,
    reveals: str | None = None,
    opaque: str | None = None,
    optional: bool = False,
) -> Any:
    """Declare an array field: dtype such as ``u4``, sizes (None: any), at most ``high`` items."""
    if dtype not in DTYPES:
        raise TypeError(f"arrays have no dtype {dtype}")
    return _field(
        Spec("array", reveals, opaque, 0, high, dtype=dtype, shape=shape, optional=optional)
    )


def items(of: Any, high: int) -> Any:
    """Declare a tuple field of at most ``high`` items, each like the declaration ``of``."""
    inner: Spec = of.metadata["spec"]
    return _field(Spec("items", inner.reveals, inner.opaque, 0, high, item=inner))


_KINDS: dict[str, type[Message]] = {}


@dataclass(frozen=True)
class Message:
    """A thing that one party sends another. Subclass as a frozen dataclass with ``kind``."""

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1

    def __init_subclass__(cls, *, kind: str, version: int = 1) -> None:
        # A dataclass with slots is built twice; only another place may not take the same name.
        known = _KINDS.get(kind)
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise TypeError(f"two message classes are called {kind}")
        cls.kind, cls.version = kind, version
        _KINDS[kind] = cls

    @classmethod
    def specs(cls) -> Iterator[tuple[str, Spec]]:
        """Yield the name and shape of each field."""
        for field in dataclasses.fields(cls):
            spec = field.metadata.get("spec")
            if spec is None:
                raise InternalError("ATL-COD-003", f"{cls.kind}.{field.name} declares no shape")
            yield field.name, spec

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        body = {name: spec.pack(getattr(self, name)) for name, spec in self.specs()}
        return codec.encode([self.kind, self.version, body])

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        """Read a message of exactly this class and version.

        Errors: ATL-COD-001 not canonical, ATL-COD-002 another class, version or field.
        """
        value = codec.decode(data)
        if type(value) is not list or len(value) != 3 or value[:2] != [cls.kind, cls.version]:
            raise PeerError("ATL-COD-002", f"expected {cls.kind} version {cls.version}")
        fields = value[2]
        shapes = dict(cls.specs())
        if type(fields) is not dict or fields.keys() != shapes.keys():
            raise PeerError("ATL-COD-002", f"{cls.kind} has other fields than declared")
        read: dict[str, Any] = {}
        for name, spec in shapes.items():
            try:
                read[name] = spec.unpack(fields[name])
            except ValueError as error:
                raise PeerError("ATL-COD-002", f"{cls.kind}.{name}: {error}") from error
        return cls(**read)

    def revealed(self) -> Iterator[tuple[str, int]]:
        """Yield each revealing field with the number of elements that it reveals."""
        for name, spec in self.specs():
            if spec.reveals is not None:
                yield name, spec.elements(getattr(self, name))


def message_class(kind: str) -> type[Message] | None:
    """Return the loaded class of this kind, for reading transcripts."""
    return _KINDS.get(kind)
