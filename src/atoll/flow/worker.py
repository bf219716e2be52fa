"""``python -m atoll.flow.worker FILE``: one party's share of one job, in a process of its own.

Events go to standard output as JSON lines, the error (if any) once to standard error, and the exit
code is the error's. A signal tells the peers before the process ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from atoll.channel.party import Cancel
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError, CancelledError, InternalError
from atoll.core.limits import Limits
from atoll.core.settings import Settings
from atoll.flow.approving import everything, only
from atoll.flow.connect import Connection, connect
from atoll.flow.events import Events, JsonLines
from atoll.flow.ledger import Ledger
from atoll.flow.outputs import sweep
from atoll.flow.own_process import KILL_AT as KILL_AT
from atoll.flow.own_process import no_core_dumps as no_core_dumps
from atoll.flow.own_process import perhaps_faulty
from atoll.flow.runner import Run, run
from atoll.flow.specification import Specification, read_specification
from atoll.flow.tables import FileTables, folder_tables
from atoll.jobs.plan import Plan

_GRACE_SECONDS = 3.0
_LOOK_SECONDS = 0.1


def make_run(
    specification: Specification,
    connection: Connection,
    approve: Callable[[Plan], int] | None,
    events: Events,
    cancel: Cancel,
) -> Run:
    """Put together what the runner needs from a specification and an open connection."""
    settings = Settings.of_environment()
    limits = Limits(
        receive_seconds=settings.receive_seconds,
        silence_seconds=settings.silence_seconds,
        connect_seconds=settings.connect_seconds,
        threads=settings.threads,
    )
    folder, party = specification.folder, connection.transport.party
    if approve is None:
        approved = specification.approve
        approve = (
            everything
            if approved == "everything"
            else only(approved.digest, party, Ledger(folder), approved.runs)
        )
    return Run(
        party=party,
        job=specification.job,
        catalogue=CATALOGUE,
        transport=perhaps_faulty(connection.transport),
        credentials=connection.credentials,
        tables=FileTables(specification.tables or folder_tables(folder)),
        folder=folder,
        approve=approve,
        label=specification.label,
        events=events,
        limits=limits,
        cancel=cancel,
    )


class Work:
    """A job on a thread of its own, so that this process can hear signals all the while."""

    def __init__(
        self,
        specification: Specification,
        events: Events,
        approve: Callable[[Plan], int] | None = None,
        act: Callable[[Run], Any] = run,
    ) -> None:
        self._specification = specification
        self._heard = events
        self._phase = "start"
        self._approve = approve
        self._act = act
        self._cancel = Cancel()
        self._done = threading.Event()
        self._connection: Connection | None = None
        self._error: AtollError | None = None
        self._finished = False
        self._result: Any = None
        self.signal: int | None = None

    def stop(self, number: int) -> None:
        """Ask for the end; a signal handler may call this, so it takes no lock."""
        self.signal = self.signal or number

    def execute(self) -> Any:
        """Run to the end and return the result. Errors: whatever ended the job."""
        thread = threading.Thread(target=self._live, name="job", daemon=True)
        thread.start()
        while not self._done.wait(_LOOK_SECONDS):
            if self.signal is not None:
                self._give_up(thread)
                break
        if self._finished:
            return self._result
        if self.signal is not None:
            name = signal.Signals(self.signal).name
            self._error = CancelledError(
                "ATL-JOB-001", f"the job was ended by {name}", phase=self._phase
            )
        error = self._error or InternalError("ATL-INT-001", "the job ended without a result")
        self._events("failed", error=error.to_dict())
        raise error

    def _events(self, event: str, **fields: Any) -> None:
        if event == "phase":
            self._phase = str(fields["phase"])
        self._heard(event, **fields)

    def _give_up(self, thread: threading.Thread) -> None:
        self._cancel.request()
        if self._connection is not None:
            self._connection.transport.abort("ATL-JOB-001", self._phase)
        thread.join(_GRACE_SECONDS)

    def _live(self) -> None:
        try:
            sweep(self._specification.folder / "runs")
            self._connection = connect(self._specification)
            address = self._connection.address
            self._events("listening", address=address)
            made = make_run(
                self._specification, self._connection, self._approve, self._events, self._cancel
            )
            self._result = self._act(made)
            self._finished = True
        except AtollError as error:
            self._fail(error)
        except BaseException as error:
            self._fail(InternalError("ATL-INT-001", f"an unexpected {type(error).__name__}"))
        finally:
            self._done.set()

    def _fail(self, error: AtollError) -> None:
        self._error = error
        if os.environ.get("ATOLL_TRACEBACK") == "1":
            traceback.print_exc()
        if self._connection is not None:
            # The runner did so for what failed in it; a second time does nothing.
            self._connection.transport.abort(error.code, error.phase or self._phase)


def listen_to_signals(work: Work) -> None:
    """Let SIGTERM and SIGINT end the work in order."""

    def handle(number: int, frame: FrameType | None) -> None:
        work.stop(number)

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _follow_input(work: Work) -> None:
    """End when whoever started this process is gone: its end of our input closes."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        work.stop(signal.SIGTERM)

    threading.Thread(target=wait, name="input", daemon=True).start()


def main(arguments: list[str]) -> int:
    """Run one worker and return its exit code."""
    no_core_dumps()
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m atoll.flow.worker FILE\n")
        return 2
    try:
        specification = read_specification(Path(arguments[0]))
        if specification.ask_peers:
            specification = specification.told(sys.stdin.readline())
        work = Work(specification, JsonLines(sys.stdout, specification.folder.name))
        listen_to_signals(work)
        if specification.attached:
            _follow_input(work)
        work.execute()
        return 0
    except CancelledError as error:
        sys.stderr.write(f"{error}\n")
        return 128 + work.signal if work.signal else error.exit_code
    except AtollError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # A job thread that hangs in a wait must not keep the process.
    os._exit(code)
