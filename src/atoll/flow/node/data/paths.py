"""Names of tables, and paths that stay inside the folders from which tables may come.

A path is resolved, links and all, before it is compared with the folders; what lies outside is
refused alike whether it exists or not, so that the file system cannot be probed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from atoll.core.errors import UserError
from atoll.jobs.errors import DeniedError, NotFoundError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
PATH_LENGTH = 1024


def table_name(text: str) -> str:
    """Return ``text`` if it is a table's name. Errors: ATL-DAT-101."""
    if not _NAME.fullmatch(text):
        raise UserError(
            "ATL-DAT-101",
            "a table's name is 1 to 63 lower-case letters, digits, - or _",
            place="name",
            hint="it begins with a letter or a digit",
        )
    return text


@dataclass(frozen=True)
class AllowedFolders:
    """The node's own data folder, and those that its settings add; all of them resolved."""

    own: Path
    folders: tuple[Path, ...]

    @classmethod
    def of(cls, own: Path, more: Iterable[str | Path] = ()) -> AllowedFolders:
        """Resolve the folders; one that is missing now simply holds nothing."""
        resolved = Path(os.path.realpath(own))
        others = (Path(os.path.realpath(Path(folder).expanduser())) for folder in more)
        return cls(resolved, (resolved, *others))

    def file(self, text: str) -> Path:
        """Return the resolved path of a regular file inside; a relative one is below ``own``.

        Errors: ATL-DAT-102 outside, ATL-DAT-103 not a regular file.
        """
        if not text or len(text) > PATH_LENGTH or not text.isprintable():
            raise _outside()
        try:
            path = Path(os.path.realpath(self.own / text))
        except (OSError, ValueError):
            raise _outside() from None
        if not any(path.is_relative_to(folder) and path != folder for folder in self.folders):
            raise _outside()
        try:
            found = path.stat()
        except OSError:
            raise _missing() from None
        if not stat.S_ISREG(found.st_mode) or len(str(path)) > PATH_LENGTH:
            raise _missing()
        return path

    def again(self, kept: str) -> Path:
        """Return a path that was registered, if it still leads to the same place inside.

        Errors: ATL-DAT-102, ATL-DAT-103.
        """
        path = self.file(kept)
        if str(path) != kept:
            raise _missing()
        return path


def _outside() -> DeniedError:
    return DeniedError(
        "ATL-DAT-102",
        "the path is outside the folders from which tables may be registered",
        place="path",
        hint="put the file below the node's data folder, upload it, or set data.folders",
    )


def _missing() -> NotFoundError:
    return NotFoundError(
        "ATL-DAT-103",
        "there is no regular file at this path",
        place="path",
        hint="check the path; folders, pipes, devices and moved files are not taken",
    )


@dataclass(frozen=True)
class Stamp:
    """Shows without reading whether a file is probably the same."""

    size: int
    changed: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Look at a file."""
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)
