"""Artifacts in files: one codec per kind, content-addressed, decoded strictly, no code in them.

An artifact's digest is the SHA-256 of its file. The kinds below are the platform's, and those of
models and transforms are declared elsewhere (``kinds``); a component may have kinds of its own,
``<component>.<name>``, whose values are bytes or JSON-like.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from atoll.components.scores import Scores
from atoll.core.errors import AtollError, InternalError
from atoll.core.report import Report
from atoll.flow.work.arrow_stream import (
    Damaged,
    read_scores,
    read_table,
    write_scores,
    write_table,
)
from atoll.jobs.errors import EnvironmentFault, TamperedError
from atoll.models.catalogue import KINDS
from atoll.models.kinds import Kinds, ModelKind
from atoll.operators.coin_toss.api import SEED_BYTES
from atoll.table import Table

PARTIAL = ".partial-"
TABLE_BYTES = 1 << 40
JSON_BYTES = 256 << 20
OWN_BYTES = 1 << 30

_OWN_KIND = re.compile(r"[a-z][a-z0-9_-]{0,62}\.[a-z][a-z0-9_-]{0,62}")
_DEPTH = 64


@dataclass(frozen=True)
class Codec:
    """How values of a kind become files and come back; ``limit`` is the largest file in bytes.

    ``kept`` values never change, so that a worker may keep them in memory.
    """

    write: Callable[[Any, Path], None]
    read: Callable[[Any], Any]
    limit: int
    rows: Callable[[Any], int | None] = lambda value: None
    kept: bool = False


@dataclass(frozen=True)
class Stored:
    """A file in the outputs folder: its name there is the digest."""

    kind: str
    digest: str
    size: int
    rows: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form that a result holds."""
        whole = {"kind": self.kind, "digest": self.digest, "bytes": self.size, "rows": self.rows}
        return {name: value for name, value in whole.items() if value is not None}


def codec_of(kind: str, kinds: Kinds = KINDS) -> Codec:
    """Return the codec of a kind. Errors: ATL-WRK-005 there is none."""
    found = CODECS.get(kind)
    if found is None and kind in kinds:
        found = _of_parts(kinds[kind])
    if found is None and _OWN_KIND.fullmatch(kind):
        found = _OWN
    if found is None:
        raise InternalError(
            "ATL-WRK-005",
            f"there is no artifact kind {kind!r}",
            hint="a component's own kinds are called <component>.<name>",
        )
    return found


class Staging:
    """Values on their way into a folder: written and durable, but not there until ``publish``."""

    def __init__(self, folder: Path, kinds: Kinds = KINDS) -> None:
        self._folder = folder
        self._kinds = kinds
        self._partial: dict[Path, str] = {}

    def add(self, kind: str, value: Any) -> Stored:
        """Write a value beside its place. Errors: ATL-WRK-005 not one of this kind, ATL-WRK-009."""
        codec = codec_of(kind, self._kinds)
        partial = self._folder / f"{PARTIAL}{os.getpid()}-{secrets.token_hex(8)}"
        self._partial[partial] = ""
        try:
            codec.write(value, partial)
            with partial.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = os.fstat(file.fileno()).st_size
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(error) from error
        except (TypeError, ValueError, RecursionError) as error:
            raise InternalError("ATL-WRK-005", f"this is not a value of kind {kind!r}") from error
        if size > codec.limit:
            raise InternalError("ATL-WRK-005", f"a value of kind {kind!r} is too large")
        self._partial[partial] = digest
        return Stored(kind, digest, size, codec.rows(value))

    def publish(self) -> None:
        """Give every file its digest as its name, durably. Errors: ATL-WRK-009."""
        try:
            for partial, digest in self._partial.items():
                partial.replace(self._folder / digest)
            self._partial.clear()
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unwritable(error) from error

    def discard(self) -> None:
        """Remove what was not published."""
        for partial in self._partial:
            partial.unlink(missing_ok=True)
        self._partial.clear()


def _unwritable(error: OSError) -> EnvironmentFault:
    return EnvironmentFault("ATL-WRK-009", f"an output cannot be written: {error.strerror}")


def store(kind: str, value: Any, folder: Path) -> Stored:
    """Write one value to a file named by its digest, durably and at once.

    Errors: ATL-WRK-005 not a value of this kind, ATL-WRK-009 it cannot be written.
    """
    staging = Staging(folder)
    try:
        stored = staging.add(kind, value)
        staging.publish()
    finally:
        staging.discard()
    return stored


def load(kind: str, path: Path, digest: str | None, kinds: Kinds = KINDS) -> Any:
    """Return the value of a file, over its pages; without a digest only its form is checked.

    Errors: ATL-WRK-006 not there, damaged, or of another digest.
    """
    codec = codec_of(kind, kinds)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not 0 < size <= codec.limit:
                raise _damaged("has an impossible size", digest)
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise _damaged(f"cannot be read: {error.strerror}", digest) from error
    data = pa.py_buffer(mapped)
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise _damaged("holds something else than was written", digest)
    return decode(kind, data, place=digest, kinds=kinds)


def decode(kind: str, data: Any, *, place: str | None = None, kinds: Kinds = KINDS) -> Any:
    """Return the value of an Arrow buffer (or bytes). Errors: ATL-WRK-006."""
    codec = codec_of(kind, kinds)
    whole = data if isinstance(data, pa.Buffer) else pa.py_buffer(data)
    if not 0 < whole.size <= codec.limit:
        raise _damaged("has an impossible size", place)
    try:
        return codec.read(whole)
    except (ValueError, AtollError, RecursionError) as error:
        raise _damaged(f"is not of kind {kind!r}", place) from error


def _damaged(what: str, place: str | None) -> TamperedError:
    return TamperedError("ATL-WRK-006", f"the file of an artifact {what}", place=place)


# -- kinds ----------------------------------------------------------------------------------------


def _expect(value: Any, *types: type) -> None:
    if not isinstance(value, types):
        raise TypeError("a value of another type")


def _write_table(value: Any, path: Path) -> None:
    _expect(value, Table)
    write_table(value, path)


def _write_scores(value: Any, path: Path) -> None:
    _expect(value, Scores)
    write_scores(value, path)


def _of_parts(kind: ModelKind) -> Codec:
    """Return the codec of a kind of model or transform."""

    def write(value: Any, path: Path) -> None:
        path.write_bytes(kind.write(value))

    return Codec(write, lambda data: kind.read(data.to_pybytes()), kind.most_bytes, kept=True)


def _write_report(value: Any, path: Path) -> None:
    _expect(value, Report)
    path.write_bytes(_json_bytes(value.model_dump(mode="json")))


def _read_report(data: Any) -> Report:
    try:
        return Report.model_validate_json(data.to_pybytes(), strict=True)
    except ValidationError as error:
        raise Damaged("not a report") from error


def _write_seed(value: Any, path: Path) -> None:
    _expect(value, bytes)
    if len(value) != SEED_BYTES:
        raise TypeError("a seed of another length")
    path.write_bytes(value)


def _read_seed(data: Any) -> bytes:
    if data.size != SEED_BYTES:
        raise Damaged("a seed of another length")
    return bytes(data)


def _write_raw(value: Any, path: Path) -> None:
    _expect(value, bytes, memoryview)
    path.write_bytes(value)


def _write_json(value: Any, path: Path) -> None:
    path.write_bytes(_json_bytes(value))


def _write_own(value: Any, path: Path) -> None:
    if isinstance(value, bytes | memoryview):
        path.write_bytes(b"b" + bytes(value))
    else:
        path.write_bytes(b"j" + _json_bytes(value))


def _read_own(data: Any) -> Any:
    form, rest = data.slice(0, 1).to_pybytes(), data.slice(1)
    match form:
        case b"b":
            return rest.to_pybytes()
        case b"j":
            return _read_json(rest)
    raise Damaged("neither bytes nor JSON")


def _json_bytes(value: Any) -> bytes:
    plain = _plain(value, 0)
    text = json.dumps(
        plain, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )
    return text.encode()


def _plain(value: Any, depth: int) -> Any:
    if depth > _DEPTH:
        raise TypeError("nested too deeply")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, dict) and all(type(key) is str for key in value):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    raise TypeError("not JSON-like")


def _read_json(data: Any) -> Any:
    whole = data.to_pybytes()
    value = json.loads(whole)
    # Equal values have equal bytes: anything else was not written by this codec.
    try:
        if _json_bytes(value) == whole:
            return value
    except TypeError as error:
        raise Damaged("nested too deeply") from error
    raise Damaged("not canonical JSON")


_OWN = Codec(_write_own, _read_own, OWN_BYTES)

CODECS: dict[str, Codec] = {
    "table": Codec(_write_table, read_table, TABLE_BYTES, lambda value: value.num_rows, True),
    "scores": Codec(_write_scores, read_scores, TABLE_BYTES, lambda value: len(value.score), True),
    "metrics": Codec(_write_json, _read_json, JSON_BYTES),
    "statistics": Codec(_write_json, _read_json, JSON_BYTES),
    "report": Codec(_write_report, _read_report, JSON_BYTES),
    "seed": Codec(_write_seed, _read_seed, SEED_BYTES),
    "file": Codec(_write_raw, lambda data: data.to_pybytes(), OWN_BYTES),
}
