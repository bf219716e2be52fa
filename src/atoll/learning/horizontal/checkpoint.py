"""A training's whole state in one file: written whole or not at all, read back to the same bits.

The file is a header (canonical codec) that names every vector with its number format and length,
the vectors' bytes, and a SHA-256 of all before it. Nothing in it is code.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from atoll.core import codec
from atoll.core.errors import AtollError, DataError
from atoll.core.files import atomic_output
from atoll.learning.horizontal.algorithm import State, Vectors
from atoll.learning.horizontal.layout import Vector

_MAGIC = b"atoll/training-checkpoint/v1\n"
_LENGTH, _DIGEST, _PIECE = 8, 32, 1 << 22
_FORMATS = ("<f4", "<f8")
_MOST_HEADER = 1 << 28


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: the aggregator's state, and by name what else resumes with it."""

    state: State
    parts: Mapping[str, Vectors]


def write_checkpoint(
    path: str | os.PathLike[str], state: State, parts: Mapping[str, Vectors], subject: str = ""
) -> None:
    """Write a state and named parts. ``subject`` names the training that they belong to.

    Vectors are float32 or float64[n]. Errors: ATL-TAB-025 the file cannot be written.
    """
    vectors = [("", name, vector) for name, vector in sorted(state.vectors.items())]
    for part, held in sorted(parts.items()):
        vectors += [(part, name, vector) for name, vector in sorted(held.items())]
    entries = [[part, name, _format(v), len(v)] for part, name, v in vectors]
    header = codec.encode(
        {"entries": entries, "parts": sorted(parts), "round": state.round, "subject": subject}
    )
    digest = hashlib.sha256()
    with atomic_output(path) as stream:
        _put(stream, digest, _MAGIC + len(header).to_bytes(_LENGTH, "big") + header)
        for _, _, vector in vectors:
            _put(stream, digest, _bytes(np.ascontiguousarray(vector, _format(vector))))
        stream.write(digest.digest())


def read_checkpoint(path: str | os.PathLike[str], subject: str = "") -> Saved:
    """Return what ``write_checkpoint`` wrote.

    Errors: ATL-HOR-039 the file is missing, cut off, changed, or of another training.
    """
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            return _read(stream, size, subject)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unusable(path, "it is missing or not of the form of a checkpoint") from error
    except AtollError as error:
        raise unusable(path, error.message) from error


def _read(stream: BinaryIO, size: int, subject: str) -> Saved:
    digest = hashlib.sha256()
    start = _take(stream, digest, len(_MAGIC) + _LENGTH)
    length = int.from_bytes(start[-_LENGTH:], "big")
    if start[:-_LENGTH] != _MAGIC or length > min(size, _MOST_HEADER):
        raise ValueError("no checkpoint")
    data = _take(stream, digest, length)
    header: dict[str, Any] = codec.decode(
        data, limit=_MOST_HEADER, memory=codec.document_memory(length)
    )
    entries = [_entry(entry) for entry in header["entries"]]
    body = sum(count * np.dtype(form).itemsize for _, _, form, count in entries)
    # Sizes are known to fit the file before anything of theirs is allocated.
    if len(start) + length + body + _DIGEST != size:
        raise ValueError("cut off")
    parts: dict[str, dict[str, Vector]] = {"": {}, **{str(p): {} for p in header["parts"]}}
    for part, name, form, count in entries:
        vector = np.empty(count, form)
        _take_into(stream, digest, _bytes(vector))
        parts[part][name] = vector
    if stream.read(_DIGEST) != digest.digest():
        raise ValueError("changed")
    if header["subject"] != subject:
        raise DataError("ATL-HOR-039", "it belongs to another training")
    return Saved(State(int(header["round"]), parts.pop("")), parts)


def _entry(entry: Any) -> tuple[str, str, str, int]:
    part, name, form, count = entry
    if not isinstance(count, int) or count < 0 or form not in _FORMATS:
        raise ValueError("not a vector")
    return str(part), str(name), str(form), count


def _format(vector: Vector) -> str:
    form = vector.dtype.newbyteorder("<").str
    if form not in _FORMATS or vector.ndim != 1:
        raise TypeError(f"a vector of {vector.dtype} has no place in a checkpoint")
    return form


def _bytes(vector: Vector) -> memoryview:
    return vector.view(np.uint8).data


def _pieces(data: memoryview) -> Iterator[memoryview]:
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]


def _put(stream: BinaryIO, digest: Any, data: bytes | memoryview) -> None:
    for piece in _pieces(memoryview(data)):
        stream.write(piece)
        digest.update(piece)


def _take(stream: BinaryIO, digest: Any, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise ValueError("cut off")
    digest.update(data)
    return data


def _take_into(stream: BinaryIO, digest: Any, into: memoryview) -> None:
    for piece in _pieces(into):
        # A buffered reader fills the whole piece unless the file ends.
        if stream.readinto(piece) != len(piece):  # type: ignore[attr-defined]
            raise ValueError("cut off")
        digest.update(piece)


def unusable(path: str | os.PathLike[str], why: str) -> DataError:
    """Return the refusal of a checkpoint, with its reason."""
    return DataError(
        "ATL-HOR-039",
        f"the checkpoint cannot be used: {why}",
        place=os.path.basename(os.fspath(path)),
        hint="start without it, or from an earlier copy",
    )
