"""Starts this node's seat of a session in a worker, and frees what it used when it has ended."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from atoll.channel.grpc.gateway import new_token
from atoll.components.api import Catalogue
from atoll.components.code import component_code, platform_digest
from atoll.core.errors import AtollError, UserError
from atoll.flow.control.record import JobRecord
from atoll.flow.node.data.tables import TableSource
from atoll.flow.node.jobs.tasks import TaskResources, TaskRunner
from atoll.flow.node.jobs.worker_shares import OWN, Holder, Key
from atoll.flow.node.standing.agreement import Agreement
from atoll.flow.work.handle import Worker
from atoll.flow.work.specification import OwnTable, TaskSpec
from atoll.flow.work.task_events import OnEvent
from atoll.jobs.errors import ConflictError, NotFoundError


@dataclass(frozen=True)
class Seat:
    """A leased worker, and what it was sent."""

    worker: Worker
    spec: TaskSpec
    socket: Path
    key: Key

    def send(self, do: str, **fields: object) -> bool:
        """See ``Worker.send``."""
        return self.worker.send(self.spec, do, **fields)


class Seats:
    """Makes the seats of sessions; any thread may call."""

    def __init__(
        self,
        place: TaskResources,
        tasks: TaskRunner,
        load: Callable[[str], JobRecord | None],
        catalogue: Callable[[], Catalogue],
        source: Callable[..., TableSource],
    ) -> None:
        """``source`` finds a registered table as a job does (``DataService.source``)."""
        self._place = place
        self._catalogue = catalogue
        self._tasks = tasks
        self._load = load
        self._source = source

    def make(self, agreement: Agreement, session: int) -> Seat:
        """Lease a worker for a session and let it reach its peers; nothing runs yet.

        Errors: ATL-AGR-010 the code is another than was signed, ATL-WRK-002 no worker is free,
        ATL-NOD-020 the job is gone, those of the registry and of the gateway, and those of a
        registered table, as in a job (ATL-DAT-104, ATL-DAT-105).
        """
        self._check_code(agreement)
        record = self._load(agreement.job)
        if record is None:
            raise NotFoundError("ATL-NOD-020", "the agreement's job is gone", place=agreement.job)
        place, token = self._place, new_token()
        label = f"{agreement.job}/{agreement.step}/{session}"
        name = hashlib.sha256(label.encode()).hexdigest()[:24]
        socket = place.folder.sockets / f"w{name}"
        whole = self._tasks.specification(record, agreement.step, session, token, label, socket)
        spec = whole.model_copy(
            update={
                "standing": True,
                "checkpoints": None,
                "tables": self._as_they_are(whole.tables),
            }
        )
        asks = agreement.party == place.identity().party
        key = (agreement.id, agreement.step, session)
        place.shares.take(key, OWN if asks else Holder(agreement.party, session=True))
        try:
            worker = place.pool.lease(agreement.job)
        except BaseException:
            place.shares.release(key)
            raise
        try:
            if spec.gateway is not None:
                place.gateway.register(label, token, socket, sorted(spec.gateway.dialable))
        except BaseException:
            worker.release()
            place.shares.release(key)
            raise
        return Seat(worker, spec, socket, key)

    def _check_code(self, agreement: Agreement) -> None:
        name = agreement.plan.job.steps[agreement.step].component
        component = self._catalogue().get(name)
        same = component is not None and (
            component_code(component) == agreement.plan.components[name].code
        )
        if not same or agreement.plan.platform not in ("", platform_digest()):
            raise ConflictError(
                "ATL-AGR-010",
                f"the code of {name} here is another than the parties signed",
                place=agreement.id,
                hint="propose a new agreement: atoll agreement propose",
            )

    def current(self, agreement: Agreement, seat: Seat) -> bool:
        """Return whether what a seat holds in memory is still what this node has.

        It is not once its table was deleted or replaced, or its part of the model archived.
        """
        record = self._load(agreement.job)
        if record is None:
            return False
        try:
            inputs, tables = self._tasks.read_by(record, agreement.step)
            return (inputs, self._as_they_are(tables)) == (seat.spec.inputs, seat.spec.tables)
        except UserError:
            return False

    def begin(self, seat: Seat, on_event: OnEvent) -> None:
        """Run the session; its end is reported as an event."""
        seat.worker.submit(seat.spec, on_event)

    def free(self, seat: Seat) -> None:
        """Free what an ended session used."""
        with contextlib.suppress(AtollError):
            self._place.gateway.unregister(seat.spec.label)
        seat.socket.unlink(missing_ok=True)
        seat.worker.release()
        self._place.shares.release(seat.key)
        for folder in (seat.spec.outputs_folder, seat.spec.outputs_folder.parent):
            # Sessions leave no files; a job's own are gone by now.
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _as_they_are(self, tables: Mapping[str, OwnTable]) -> dict[str, OwnTable]:
        """Return tables with the contents of today: what was approved are their names."""
        found = {}
        for name, table in tables.items():
            source = self._source(name, id_column=table.id, label=table.label)
            update = {"path": source.path, "digest": source.digest}
            found[name] = table.model_copy(update=update)
        return found
