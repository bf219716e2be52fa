"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from atoll.core.errors import UserError


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
