"""Uploads on their way in: a private file that becomes visible whole, or leaves nothing."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi.concurrency import run_in_threadpool

from atoll.core.errors import UserError
from atoll.jobs.errors import EnvironmentFault

FOLDER = ".incoming"
_GATHER = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


async def receive(
    chunks: AsyncIterator[bytes],
    folder: Path,
    ending: str,
    limit: int,
    *,
    code: str = "ATL-DAT-106",
) -> Path:
    """Write a stream to a new private file and return it; an error leaves no file.

    Errors: ``code`` (ATL-DAT-106 or ATL-REG-006) too large or empty, ATL-DAT-109 no space.
    """
    path = folder / f"{secrets.token_hex(16)}{ending}"
    try:
        await _write(chunks, path, limit, code)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise EnvironmentFault(
            "ATL-DAT-109",
            f"the upload cannot be written: {error.strerror}",
            hint="make room on the node's disk",
        ) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


async def _write(chunks: AsyncIterator[bytes], path: Path, limit: int, code: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    size, waiting, held = 0, bytearray(), os.open(path, _NEW, 0o600)
    with os.fdopen(held, "wb", buffering=0) as file:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise UserError(code, f"an upload has at most {limit} bytes")
            waiting += chunk
            if len(waiting) >= _GATHER:
                await run_in_threadpool(_whole, file.fileno(), bytes(waiting))
                waiting.clear()
        if not size:
            raise UserError(code, "the upload is empty", hint="send the file as the body")
        await run_in_threadpool(_whole, file.fileno(), bytes(waiting))
        await run_in_threadpool(os.fsync, file.fileno())


def _whole(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sweep(folder: Path) -> None:
    """Remove what a node that was killed during an upload has left."""
    for path in folder.glob("*") if folder.is_dir() else ():
        path.unlink(missing_ok=True)
