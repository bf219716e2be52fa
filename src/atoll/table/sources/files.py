"""Opening files for reading."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from atoll.core.errors import UserError


@contextmanager
def open_input(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a regular file for reading. Errors: ATL-TAB-001."""
    name = os.fspath(path)
    try:
        stream = open(name, "rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise UserError(
            "ATL-TAB-001",
            f"the file cannot be opened: {error.strerror}",
            place=name,
            hint="check the path and its permissions",
        ) from error
    with stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise UserError("ATL-TAB-001", "not a regular file", place=name)
        yield cast(BinaryIO, stream)


def read_block(stream: BinaryIO, size: int) -> bytes:
    """Read ``size`` bytes; fewer only at the end of the file."""
    data = stream.read(size)
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            break
        data += more
    return data
