"""What a task takes in: artifacts of earlier steps, kept in memory by digest, and own tables."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from atoll.core.errors import InternalError
from atoll.flow.work.artifacts import codec_of, load
from atoll.flow.work.specification import OwnTable, TaskSpec
from atoll.jobs.errors import ConflictError, NotFoundError
from atoll.jobs.schema import Port
from atoll.jobs.validation import near
from atoll.models.catalogue import KINDS
from atoll.models.kinds import Kinds
from atoll.table import Table, read


class Memory:
    """Decoded artifacts of one job by kind and digest; the longest unused go first."""

    def __init__(self) -> None:
        self.job = ""
        self._held: OrderedDict[tuple[str, str], tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def begin(self, job: str) -> None:
        """Forget everything if this is another job."""
        if job != self.job:
            self.job, self._bytes = job, 0
            self._held.clear()

    def get(self, kind: str, digest: str) -> Any | None:
        """Return what is held, or None."""
        found = self._held.get((kind, digest))
        if found is None:
            return None
        self._held.move_to_end((kind, digest))
        return found[0]

    def put(
        self, kind: str, digest: str, value: Any, size: int, limit: int, kinds: Kinds = KINDS
    ) -> None:
        """Hold a value of about ``size`` bytes, at most ``limit`` in all, if its kind may be."""
        if not codec_of(kind, kinds).kept or size > limit or (kind, digest) in self._held:
            return
        self._held[kind, digest] = (value, size)
        self._bytes += size
        while self._bytes > limit:
            _, (_, freed) = self._held.popitem(last=False)
            self._bytes -= freed


def gather(
    spec: TaskSpec, ports: Mapping[str, Port], memory: Memory, kinds: Kinds = KINDS
) -> dict[str, Any]:
    """Return the inputs by port; None where this role gets no such output of the earlier step.

    Errors: ATL-WRK-003 a port or kind that is not the step's, those of ``load``.
    """
    wired = spec.job.steps[spec.step].inputs
    found: dict[str, Any] = dict.fromkeys(wired)
    for port, artifact in spec.inputs.items():
        # A port that takes many is numbered: ``tables.0``.
        taken = ports.get(port.partition(".")[0])
        # What is not wired comes from the node itself, and only to a port that may stay empty.
        free = taken is not None and taken.optional and not taken.many
        if not (port in wired or free) or taken is None or not taken.accepts(artifact.kind):
            raise InternalError(
                "ATL-WRK-003", "the task was given another input than it takes", place=port
            )
        value = memory.get(artifact.kind, artifact.digest)
        if value is None:
            value = load(artifact.kind, artifact.path, artifact.digest, kinds)
            size = artifact.path.stat().st_size
            limit = spec.limits.cache_bytes
            memory.put(artifact.kind, artifact.digest, value, size, limit, kinds)
        found[port] = value
    return found


class ApprovedTables:
    """The tables that a task may open: those of its specification, as they were approved."""

    def __init__(self, tables: Mapping[str, OwnTable]) -> None:
        self._tables = tables

    def open(self, name: str, *, id_column: str, label: str | None) -> Table:
        """Read a table. Errors: ATL-JOB-010 unknown, ATL-WRK-008 changed since it was approved."""
        known = self._tables.get(name)
        if known is None or known.id != id_column or known.label != label:
            raise NotFoundError(
                "ATL-JOB-010",
                f"this party has no table {name!r} with such an id and label column",
                place=name,
                hint=near(name, self._tables),
            )
        table = read(known.path, id_column=id_column, label=label)
        if known.digest is not None and table.digest() != known.digest:
            raise ConflictError(
                "ATL-WRK-008",
                "the table is not what it was when the plan was approved",
                place=name,
                hint="submit the job again: what was approved is what runs",
            )
        return table
