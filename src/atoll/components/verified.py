"""Imports the code of pinned distributions from exactly the bytes that were hashed.

Byte code caches are not read, and a file that is not on the list is not imported, so what runs is
what the digest stands for, whatever else lies in the folder.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any


class OccupiedError(ImportError):
    """The modules were imported before: from elsewhere, or in another version."""


class _VerifiedLoader(SourceFileLoader):
    """Compiles a source file after comparing it with its digest."""

    def __init__(self, fullname: str, path: str, expected: str) -> None:
        super().__init__(fullname, path)
        self.expected = expected

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the very bytes that were checked."""
        data = self.get_data(self.path)
        if hashlib.sha256(data).hexdigest() != self.expected:
            raise ImportError(f"{fullname} is not what was approved", name=fullname)
        code: CodeType = self.source_to_code(data, self.path)
        return code


class VerifiedFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of one distribution; ``files`` maps each file's place to its SHA-256."""

    def __init__(self, digest: str, modules: frozenset[str], files: Mapping[str, str]) -> None:
        self.digest = digest
        self.modules = modules
        self._files = dict(files)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return where a module of ours lies. Errors: ImportError if its file is not listed."""
        if fullname.partition(".")[0] not in self.modules:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return spec
        expected = self._files.get(str(Path(spec.origin).resolve()))
        if expected is None:
            raise ImportError(f"{fullname} is no part of what was approved", name=fullname)
        if isinstance(spec.loader, SourceFileLoader):
            spec.loader = _VerifiedLoader(fullname, spec.origin, expected)
            spec.cached = None
        elif isinstance(spec.loader, ExtensionFileLoader):
            _check(fullname, Path(spec.origin), expected)
        else:
            raise ImportError(f"{fullname} is neither source nor extension", name=fullname)
        return spec


def _check(fullname: str, path: Path, expected: str) -> None:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != expected:
            raise ImportError(f"{fullname} is not what was approved", name=fullname)


def install(digest: str, modules: frozenset[str], files: Mapping[str, str]) -> None:
    """Let a distribution's modules be imported from verified files only.

    Errors: OccupiedError if one of them was imported before in another way.
    """
    for finder in sys.meta_path:
        if isinstance(finder, VerifiedFinder) and finder.modules & modules:
            if finder.digest == digest:
                return
            raise OccupiedError("another version is loaded already")
    for name in modules:
        if name in sys.modules:
            raise OccupiedError(f"{name} was imported before it was checked", name=name)
    sys.meta_path.insert(0, VerifiedFinder(digest, modules, files))


def uninstall(digest: str) -> None:
    """Forget a distribution and its modules, as tests do between two versions."""
    gone: set[str] = set()
    for finder in [entry for entry in sys.meta_path if isinstance(entry, VerifiedFinder)]:
        if finder.digest == digest:
            found: Any = finder
            sys.meta_path.remove(found)
            gone |= finder.modules
    for name in [name for name in sys.modules if name.partition(".")[0] in gone]:
        del sys.modules[name]
