"""Opening files for reading, and writing them whole or not at all."""

from __future__ import annotations

import os
import secrets
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


@contextmanager
def atomic_output(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a stream whose file appears under ``path`` only once it is whole. Errors: ATL-TAB-025.

    A failure leaves the former file as it was and no temporary file behind.
    """
    name = os.fspath(path)
    temporary = f"{name}.{secrets.token_hex(8)}.tmp"
    try:
        stream = open(temporary, "xb")  # noqa: SIM115
    except OSError as error:
        raise _unwritable(name, error) from error
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, name)
    except BaseException as error:
        _remove(temporary)
        if isinstance(error, OSError):
            raise _unwritable(name, error) from error
        raise


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _unwritable(name: str, error: OSError) -> UserError:
    return UserError(
        "ATL-TAB-025",
        f"the file cannot be written: {error.strerror}",
        place=name,
        hint="check the folder, its permissions and the free space",
    )
