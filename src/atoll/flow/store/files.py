"""Artifact files: each named by the SHA-256 of its bytes, complete and durable or not there.

Several processes may put files at once; only ``prune`` removes them. A file that has no row yet is
safe from it while it is young. Links are never followed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import IO

from atoll.core.errors import AtollError, InternalError, UserError
from atoll.jobs.errors import EnvironmentFault, NotFoundError, TamperedError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHARD = re.compile(r"[0-9a-f]{2}")
_INCOMING = "incoming"
_CHUNK = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_OLD = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Stored:
    """A file that is in its place: its digest (64 hexadecimal digits) and size in bytes."""

    digest: str
    bytes: int


@dataclass(frozen=True)
class Pruned:
    """How many files and bytes were removed."""

    files: int
    bytes: int


def valid_digest(text: str) -> str:
    """Return ``text`` if it is the name of an artifact. Errors: ATL-STO-023."""
    if not _DIGEST.fullmatch(text):
        raise UserError("ATL-STO-023", "this is no digest", hint="64 hexadecimal digits")
    return text


class Incoming:
    """A file on its way in: write, then leave the ``with`` block; ``stored`` is what it became.

    When the block ends by an error, nothing stays behind.
    """

    def __init__(self, files: ArtifactFiles) -> None:
        self._files = files
        self._hash = hashlib.sha256()
        self._size = 0
        self._path = files.folder / _INCOMING / f"{os.getpid()}-{secrets.token_hex(8)}"
        self._stored: Stored | None = None
        with explained(str(files.folder)):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file: IO[bytes] = os.fdopen(os.open(self._path, _NEW, 0o600), "wb")

    @property
    def stored(self) -> Stored:
        """The digest and size, once the block has ended well."""
        if self._stored is None:
            raise InternalError("ATL-STO-017", "an artifact was asked for before it was stored")
        return self._stored

    @property
    def digest(self) -> str:
        """The digest of what was written so far."""
        return self._hash.hexdigest()

    def write(self, data: Bytes) -> int:
        """Add bytes. Errors: ATL-STO-004 disk full, ATL-STO-024."""
        with explained(self._path.name):
            self._file.write(data)
        view = memoryview(data)
        self._hash.update(view)
        self._size += view.nbytes
        return view.nbytes

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            with suppress(OSError):
                self._file.close()
            self._path.unlink(missing_ok=True)

    def _finish(self) -> None:
        with explained(self._path.name):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        self._files._settle(self._path, self.digest)
        self._stored = Stored(self.digest, self._size)


class ArtifactFiles:
    """The artifact files of one folder.

    Errors: ATL-STO-004 disk full, ATL-STO-021 not there, ATL-STO-022 changed, ATL-STO-023 bad
    digest, ATL-STO-024 the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with explained(str(folder)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where the file with this digest is or would be."""
        return self.folder / valid_digest(digest)[:2] / digest

    def has(self, digest: str) -> bool:
        """Return whether the file is there."""
        try:
            return stat.S_ISREG(self.path(digest).lstat().st_mode)
        except FileNotFoundError:
            return False

    def put(self, data: Bytes | Iterable[Bytes]) -> Stored:
        """Store bytes, or pieces of bytes; return when they are on the disk."""
        with self.incoming() as file:
            for piece in [data] if isinstance(data, Bytes) else data:
                file.write(piece)
        return file.stored

    def incoming(self) -> Incoming:
        """Open a new file for writing; it gets its name at the end."""
        return Incoming(self)

    def adopt(self, path: Path, digest: str | None = None) -> Stored:
        """Take over a file (it is gone afterwards), if it has this digest."""
        with explained(path.name), _open(path) as source:
            status = os.fstat(source.fileno())
            if status.st_dev == self.folder.stat().st_dev and status.st_nlink == 1:
                stored = Stored(hashlib.file_digest(source, "sha256").hexdigest(), status.st_size)
                _require_same(stored.digest, digest)
                os.fsync(source.fileno())
                self._settle(path, stored.digest)
            else:
                stored = self._copy(source, digest)
            path.unlink(missing_ok=True)
        return stored

    def _copy(self, source: IO[bytes], digest: str | None) -> Stored:
        with self.incoming() as file:
            while piece := source.read(_CHUNK):
                file.write(piece)
            _require_same(file.digest, digest)
        return file.stored

    def open(self, digest: str, *, check: bool = False) -> BufferedReader:
        """Open a file for reading; with ``check`` its bytes are compared with its digest first."""
        path = self.path(digest)
        try:
            self._shard(digest, create=False)
            file = _open(path)
        except FileNotFoundError:
            raise NotFoundError(
                "ATL-STO-021",
                "this artifact is not here any more",
                place=digest,
                hint="it was pruned or never arrived; run its step again",
            ) from None
        except OSError as error:
            raise _unusable(error, digest) from error
        if check:
            try:
                _compare(file, digest)
            except BaseException:
                file.close()
                raise
        return file

    def read(self, digest: str, *, check: bool = True) -> bytes:
        """Return a whole (small) file."""
        with self.open(digest, check=check) as file, explained(digest):
            return file.read()

    def size(self, digest: str) -> int:
        """Return the bytes of a file."""
        with self.open(digest) as file:
            return os.fstat(file.fileno()).st_size

    def digests(self) -> Iterator[str]:
        """Walk the digests of all files, sorted."""
        with explained(str(self.folder)):
            for shard in sorted(self.folder.iterdir()):
                if _SHARD.fullmatch(shard.name) and not shard.is_symlink() and shard.is_dir():
                    yield from sorted(e.name for e in shard.iterdir() if self._regular(e))

    def prune(self, keep: Collection[str], before: float) -> Pruned:
        """Remove files not in ``keep`` that were last put before this time (s since 1970)."""
        count = size = 0
        for digest in [d for d in self.digests() if d not in keep]:
            gone = self._remove(self.path(digest), before)
            count += gone is not None
            size += gone or 0
        incoming = self.folder / _INCOMING
        with explained(str(self.folder)):
            for path in list(incoming.iterdir()) if incoming.is_dir() else []:
                self._remove(path, before)
        return Pruned(count, size)

    def _remove(self, path: Path, before: float) -> int | None:
        with explained(path.name), self.locked(fcntl.LOCK_EX), suppress(FileNotFoundError):
            status = path.lstat()
            if status.st_mtime < before:
                path.unlink()
                return status.st_size
        return None

    def _regular(self, entry: Path) -> bool:
        return bool(_DIGEST.fullmatch(entry.name)) and stat.S_ISREG(entry.lstat().st_mode)

    def _settle(self, path: Path, digest: str) -> None:
        """Move a complete file to its place, or renew the age of the one that is there."""
        target = self.path(digest)
        with explained(digest), self.locked(fcntl.LOCK_SH):
            shard = self._shard(digest, create=True)
            if self.has(digest):
                os.utime(target, follow_symlinks=False)
            else:
                path.rename(target)
                _sync(shard)

    def _shard(self, digest: str, *, create: bool) -> Path:
        shard = self.path(digest).parent
        if create and not shard.is_dir():
            with suppress(FileExistsError):
                shard.mkdir(mode=0o700)
            _sync(self.folder)
        if shard.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, "a link in the place of a folder")
        return shard

    @contextmanager
    def locked(self, how: int = fcntl.LOCK_SH) -> Iterator[None]:
        """Keep ``prune`` of any process away meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(self.folder / ".lock", flags, 0o600)
        try:
            fcntl.flock(file, how)
            yield
        finally:
            os.close(file)


def _open(path: Path) -> BufferedReader:
    """Open a regular file, never what a link points to."""
    file = os.open(path, _OLD)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file")
    return os.fdopen(file, "rb")


def _compare(file: BufferedReader, digest: str) -> None:
    with explained(digest):
        _require_same(hashlib.file_digest(file, "sha256").hexdigest(), digest)
        file.seek(0)


def _require_same(found: str, digest: str | None) -> None:
    if digest is not None and found != valid_digest(digest):
        raise _changed(digest)


def _sync(folder: Path) -> None:
    handle = os.open(folder, _FOLDER)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _changed(digest: str) -> TamperedError:
    return TamperedError(
        "ATL-STO-022",
        "an artifact's bytes are not those of its digest",
        place=digest,
        hint="the disk or someone changed it: remove it and run its step again",
    )


def _unusable(error: OSError, place: str) -> AtollError:
    if error.errno in _NO_ROOM:
        return EnvironmentFault(
            "ATL-STO-004",
            "the disk of the artifacts is full; nothing of this file was kept",
            place=place,
            hint="make room (atoll admin prune, or a larger disk), then try again",
        )
    return EnvironmentFault(
        "ATL-STO-024",
        f"the folder of artifacts cannot be used: {error.strerror}",
        place=place,
        hint="check that it exists, belongs to the node's user and holds no links",
    )


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn errors of the file system into ours. Errors: ATL-STO-004, ATL-STO-024."""
    try:
        yield
    except OSError as error:
        raise _unusable(error, place) from error
