"""Disks that are small, full or closed to writing: real ones for root, else limits and rights."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PIECE = bytes(1 << 16)


def _mount(*arguments: str) -> bool:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    return done.returncode == 0


def may_mount() -> bool:
    """Return whether this user may mount file systems."""
    return os.geteuid() == 0


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """Give a folder a disk of its own, of so many bytes; False where that is not allowed."""
    made = may_mount() and _mount(
        "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)
    )
    try:
        yield made
    finally:
        if made:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fill the disk of a folder to the last byte for a while."""
    filler = folder / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for piece in (_PIECE, b"x"):
            with suppress(OSError):
                while True:
                    os.write(descriptor, piece)
        yield
    finally:
        os.close(descriptor)
        filler.unlink()


@contextmanager
def bounded_files(pid: int, size: int) -> Iterator[None]:
    """Let a process write no byte of any file beyond ``size`` for a while; needs no rights."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def unbounded_files(pid: int) -> None:
    """Let a process write files as large as it may."""
    with suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Close a folder (or file) to writing for a while: by rights, for root by a mount."""
    if may_mount():
        bound = _mount("--bind", str(folder), str(folder)) and _mount(
            "-o", "remount,bind,ro", str(folder)
        )
        assert bound, "root, and yet nothing can be mounted"
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        return
    closed = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode & 0o777 for path in closed]
    for path, mode in zip(closed, modes, strict=True):
        path.chmod(mode & 0o555)
    try:
        yield
    finally:
        for path, mode in zip(closed, modes, strict=True):
            path.chmod(mode)
