"""What a worker is told: a small JSON file that names folder, job, peers and approval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from atoll.core.errors import UserError
from atoll.jobs.definition import JOB_FILE_BYTES, Frozen, Job, parse_job
from atoll.jobs.errors import NotFoundError


class Approved(Frozen):
    """A plan that a person approved before, by digest, for so many runs."""

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    runs: int = Field(1, ge=1, le=1_000_000)


class Specification(Frozen):
    """One party's run.

    ``tables`` maps names to CSV files (empty: those in ``folder/data``); ``peers`` maps each peer
    to where it listens, or null if it dials; with ``ask_peers`` their addresses come as one line of
    JSON on standard input; ``attached`` ends the worker with its standard input.
    """

    folder: Path
    job: Job
    listen: str | None = None
    peers: dict[str, str | None] = Field(default_factory=dict)
    tables: dict[str, Path] = Field(default_factory=dict)
    approve: Approved | Literal["everything"] = "everything"
    label: str = ""
    ask_peers: bool = False
    attached: bool = False

    def told(self, line: str) -> Specification:
        """Return this with the peers' addresses of a line. Errors: ATL-JOB-003."""
        try:
            whole = {**self.model_dump(), "peers": json.loads(line), "job": self.job}
            return Specification.model_validate(whole)
        except (ValueError, RecursionError) as error:
            raise UserError("ATL-JOB-003", "these are not the addresses of peers") from error


def read_specification(path: Path) -> Specification:
    """Read a worker's file. Errors: ATL-JOB-003 not found or of another shape."""
    if not path.is_file():
        raise NotFoundError("ATL-JOB-003", "there is no such file", place=str(path))
    if path.stat().st_size > 2 * JOB_FILE_BYTES:
        raise UserError("ATL-JOB-003", "the file is too large", place=str(path))
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        job = parse_job(value.get("job"), place=str(path))
        return Specification.model_validate({**value, "job": job})
    except (ValueError, AttributeError, RecursionError) as error:
        field = ""
        if isinstance(error, ValidationError):
            first = error.errors(include_input=False, include_url=False)[0]
            field = ": " + ".".join(str(part) for part in first["loc"])
        raise UserError(
            "ATL-JOB-003", "this is not what a worker is told", place=f"{path}{field}"
        ) from error
