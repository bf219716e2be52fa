"""A run's files: gathered in memory, written beside their place, and moved there in one step."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any

from atoll.core.errors import InternalError
from atoll.jobs.errors import ConflictError, EnvironmentFault

PARTIAL = ".partial-"
_FILE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


def check_file_name(name: str, step: str) -> None:
    """Refuse a name that might leave its folder. Errors: ATL-INT-001."""
    if not _FILE.fullmatch(name):
        raise InternalError("ATL-INT-001", "a component named a file badly", phase=step)


class Outputs:
    """The files of one run, kept until ``publish`` puts them all in the folder at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[tuple[str, str], bytes] = {}

    def add(self, step: str, name: str, data: bytes) -> None:
        """Keep a file of a step (``step`` is empty for one of the whole run)."""
        check_file_name(name, step)
        self._files[step, name] = data

    def add_json(self, step: str, name: str, value: Any) -> None:
        """Keep a value as a JSON file."""
        text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
        self.add(step, name, (text + "\n").encode())

    def publish(self, run: str) -> Path:
        """Write everything and move it to ``folder/run`` at once; return that place.

        Errors: ATL-JOB-012 if it cannot be written, ATL-JOB-013 if the place is taken.
        """
        target = self._folder / run
        staged = self._folder / f"{PARTIAL}{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            staged.mkdir()
            for (step, name), data in self._files.items():
                path = staged / step / name
                path.parent.mkdir(exist_ok=True)
                _write(path, data)
            if target.exists():
                raise ConflictError("ATL-JOB-013", "this run has outputs already", place=run)
            staged.rename(target)
        except OSError as error:
            raise EnvironmentFault(
                "ATL-JOB-012", f"the outputs cannot be written: {error.strerror}", place=run
            ) from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return target


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sweep(folder: Path) -> None:
    """Remove what a process that was killed while it published has left."""
    for entry in folder.glob(f"{PARTIAL}*"):
        owner = entry.name.removeprefix(PARTIAL).partition("-")[0]
        if not (owner.isdigit() and Path("/proc", owner).exists()):
            shutil.rmtree(entry, ignore_errors=True)
