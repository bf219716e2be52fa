"""Files that are there whole or not at all, and keys that only their owner can read."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from atoll.core.errors import UserError

SECRET = 0o600
PUBLIC = 0o644


def write_atomic(path: Path, data: bytes, mode: int = PUBLIC) -> None:
    """Write a file so that a reader sees the old one or the new one, never a piece."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(draft, flags, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_secret(path: Path) -> bytes:
    """Read a private key. Errors: ATL-PTY-006 if others may read or change the file."""
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise UserError(
                "ATL-PTY-006",
                "a private key can be read or changed by other users",
                place=str(path),
                hint=f"chmod 600 {path}; if others had access, make a new party",
            )
        return file.read()
