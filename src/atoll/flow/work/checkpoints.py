"""The checkpoints of a seat as files: one for each of the newest two rounds.

A file is the SHA-256 of what follows, then the canonical form of context, round, mark and state.
The *mark* names the attempt that wrote it: seats go on together only from what they made together.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from atoll.channel.checkpoints import State
from atoll.core import codec
from atoll.core.errors import AtollError, InternalError
from atoll.core.message import DTYPES
from atoll.flow.work.messages import KEPT_ROUNDS, MARK_BYTES, RoundMark
from atoll.jobs.errors import ConflictError, EnvironmentFault

STATE_BYTES = 1 << 30
_DIGEST_BYTES = 32
_VERSION = 1
# No text key is empty otherwise, so a map with this one is an array.
_ARRAY = ""
_PARTIAL = ".partial"
_SPENT = ".spent"
_ANSWERS = ".answers"

_LOG = logging.getLogger("atoll.task")


class FileCheckpoints:
    """The checkpoints of one seat in ``folder``, which belongs to one step of one run.

    ``context`` is what must be the same for a state to be of use: plan, step, seat, code.
    """

    def __init__(self, folder: Path, seat: str, context: tuple[str, ...]) -> None:
        self._folder = folder
        self._name = seat.replace(":", "+")
        self._context = codec.digest(["atoll/checkpoint/v1", seat, *context])
        self._mark = b""
        self._begin: RoundMark | None = None
        self._spent = self._read_spent()
        self._answers: dict[bytes, bytes] | None = None

    def held(self) -> tuple[RoundMark, ...]:
        """Return what this seat can go on at, ascending; what is damaged is left out."""
        found = []
        for round_ in self._rounds():
            read = self._read(round_)
            if read is not None:
                found.append(RoundMark(round_, read[0]))
        return tuple(found[-KEPT_ROUNDS:])

    def enter(self, begin: RoundMark | None, mark: bytes) -> None:
        """Go on at what all seats hold (None: at the beginning), in an attempt of this mark.

        Errors: ATL-WRK-010 a round that may be done only once would be done again.
        """
        first = 0 if begin is None else begin.round
        if self._spent >= first:
            raise ConflictError(
                "ATL-WRK-010",
                f"round {self._spent} has revealed what is drawn only once, and it was not ended",
                hint="a new run draws fresh noise over the same values: it needs another approval",
            )
        self._begin, self._mark = begin, mark
        for round_ in self._rounds():
            if round_ > first:
                self._path(round_).unlink(missing_ok=True)

    def save(self, round_: int, state: State) -> None:
        """Keep a state; one that cannot be written is passed over with a warning."""
        if round_ < 1:
            raise InternalError("ATL-WRK-011", "a checkpoint comes after a round")
        try:
            whole = [_VERSION, self._context, round_, self._mark, _pack(state)]
            body = codec.encode(whole)
        except (TypeError, OverflowError, ValueError) as error:
            raise InternalError("ATL-WRK-011", "this state has no canonical form") from error
        if len(body) > STATE_BYTES:
            raise InternalError("ATL-WRK-011", "this state is too large for a checkpoint")
        try:
            # Not forced to the disk: it is for a lost process. What a lost machine leaves torn is
            # seen by its digest, and the step starts from the beginning.
            self._write(self._path(round_), hashlib.sha256(body).digest(), body)
            for old in self._rounds()[:-KEPT_ROUNDS]:
                self._path(old).unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("no checkpoint at round %d: %s", round_, error.strerror)

    def resume_point(self) -> tuple[int, State] | None:
        """Return the round to go on at, and the state. Errors: ATL-WRK-006 it was changed."""
        if self._begin is None:
            return None
        read = self._read(self._begin.round)
        if read is None or read[0] != self._begin.mark:
            raise InternalError("ATL-WRK-006", "a checkpoint changed while the step began")
        return self._begin.round, _unpack(read[1])

    def spend(self, round_: int) -> None:
        """Note that a round is not to be done again. Errors: ATL-WRK-009 it cannot be written."""
        if round_ <= self._spent:
            return
        try:
            path = self._folder / (self._name + _SPENT)
            self._write(path, str(round_).encode(), b"", durable=True)
        except OSError as error:
            raise _unwritten(error) from error
        self._spent = round_

    def answer(self, question: bytes, answer: bytes) -> bytes:
        """Return the first answer to a question (32 bytes each) in this step's run.

        It is on the disk before this returns. Errors: ATL-WRK-009 it cannot be written.
        """
        if self._answers is None:
            self._answers = self._read_answers()
        if question in self._answers:
            return self._answers[question]
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._path_of_answers.open("ab") as file:
                file.write(question + answer)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritten(error) from error
        self._answers[question] = answer
        return answer

    def _read_answers(self) -> dict[bytes, bytes]:
        """Return what was answered; what a lost machine left torn at the end was never sent."""
        try:
            data = self._path_of_answers.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unwritten(error) from error
        whole = len(data) - len(data) % (2 * _DIGEST_BYTES)
        if whole < len(data):
            os.truncate(self._path_of_answers, whole)
        pairs = (data[at : at + 2 * _DIGEST_BYTES] for at in range(0, whole, 2 * _DIGEST_BYTES))
        return {pair[:_DIGEST_BYTES]: pair[_DIGEST_BYTES:] for pair in pairs}

    @property
    def _path_of_answers(self) -> Path:
        return self._folder / (self._name + _ANSWERS)

    def _read_spent(self) -> int:
        try:
            return int((self._folder / (self._name + _SPENT)).read_bytes())
        except FileNotFoundError:
            return -1

    def _path(self, round_: int) -> Path:
        return self._folder / f"{self._name}.{round_}"

    def _rounds(self) -> list[int]:
        try:
            names = [entry.name for entry in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        heads = [name.rpartition(".") for name in names]
        return sorted(int(last) for head, _, last in heads if head == self._name and last.isdigit())

    def _write(self, path: Path, head: bytes, body: bytes, *, durable: bool = False) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = path.with_name(path.name + _PARTIAL)
        with partial.open("wb") as file:
            file.write(head)
            file.write(body)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
        if durable:
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _read(self, round_: int) -> tuple[bytes, Any] | None:
        """Return mark and packed state of a round; None if it is no whole checkpoint of this."""
        try:
            path = self._path(round_)
            if path.stat().st_size > _DIGEST_BYTES + STATE_BYTES:
                return None
            data = memoryview(path.read_bytes())
            head, body = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
            if hashlib.sha256(body).digest() != head:
                return None
            whole = codec.decode(body, limit=STATE_BYTES, memory=STATE_BYTES)
            version, context, kept, mark, state = whole
        except (OSError, AtollError, ValueError, TypeError):
            return None
        right = (version, context, kept) == (_VERSION, self._context, round_)
        return (mark, state) if right and len(mark) == MARK_BYTES else None


def _unwritten(error: OSError) -> EnvironmentFault:
    return EnvironmentFault("ATL-WRK-009", f"an output cannot be written: {error.strerror}")


def _pack(value: Any) -> Any:
    """Return a state with each array as ``{"": [dtype, sizes, bytes]}``."""
    if isinstance(value, np.ndarray):
        dtype = value.dtype.str[1:]
        if dtype not in DTYPES:
            raise TypeError("an array of a type that is not kept")
        flat = np.ascontiguousarray(value, dtype="<" + dtype)
        return {_ARRAY: [dtype, list(value.shape), flat.tobytes()]}
    if isinstance(value, Mapping):
        if _ARRAY in value:
            raise TypeError("a name is empty")
        return {name: _pack(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(inner) for inner in value]
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            dtype, sizes, data = value[_ARRAY]
            return np.frombuffer(data, dtype="<" + dtype).reshape(sizes).copy()
        return {name: _unpack(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_unpack(inner) for inner in value]
    return value
