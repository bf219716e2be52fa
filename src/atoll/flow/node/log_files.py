"""Bounds the node's log file: past a size it becomes the newest of a few earlier ones.

Whoever started the node opened the file and gave it as standard error, also to what is written
there without any logger. So it is not closed but copied and emptied, and starts over.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from pathlib import Path
from typing import TextIO


class BoundedLog(logging.StreamHandler[TextIO]):
    """Writes to standard error; where that is ``file``, keeps it below ``most`` bytes and a line.

    ``files`` earlier ones are kept beside it: ``node.log.1`` is the newest.
    """

    def __init__(self, file: Path | None, most: int, files: int) -> None:
        super().__init__()
        self._file = file
        self._most = most
        self._files = files
        # Not tried again at once where it could not be done.
        self._next = most

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, and have the file start over if it is too large; under the lock."""
        super().emit(record)
        if self._file is None:
            return
        try:
            size = self._size(self._file)
        except (OSError, ValueError):
            return
        if size < self._next:
            return
        try:
            self._turn(self._file)
            self._next = self._most
        except OSError:
            self._next = size + self._most

    def _size(self, file: Path) -> int:
        """Return the size of the file if it is what is written to and too large; else 0."""
        here = os.fstat(self.stream.fileno())
        if here.st_size < self._next or not os.path.samestat(here, file.stat()):
            return 0
        # One that does not append would write on where it was, behind a gap.
        append = fcntl.fcntl(self.stream.fileno(), fcntl.F_GETFL) & os.O_APPEND
        return here.st_size if append else 0

    def _turn(self, file: Path) -> None:
        if self._files:
            self._copy(file)
        os.truncate(file, 0)
        for number in range(self._files + 1, self._files + 100):
            # Of a larger setting before.
            try:
                _numbered(file, number).unlink()
            except FileNotFoundError:
                break

    def _copy(self, file: Path) -> None:
        new = file.with_name(f"{file.name}.new")
        try:
            with file.open("rb") as source, os.fdopen(_private(new), "wb") as target:
                shutil.copyfileobj(source, target)
            for number in range(self._files, 1, -1):
                earlier = _numbered(file, number - 1)
                if earlier.exists():
                    earlier.replace(_numbered(file, number))
            new.replace(_numbered(file, 1))
        except OSError:
            # A full disk: the file is emptied all the same, or it would fill whatever is freed.
            new.unlink(missing_ok=True)


def _numbered(file: Path, number: int) -> Path:
    return file.with_name(f"{file.name}.{number}")


def _private(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
