"""Removes what the retention settings do not keep, and renews the node's certificate in time:
soon after the start, then once a day.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from atoll.flow.node.jobs.answers import unexpected
from atoll.flow.node.settings import RetentionSection
from atoll.flow.store import Database
from atoll.flow.store.files import ArtifactFiles
from atoll.flow.store.retention import PruneReport, Retention, prune

_LOG = logging.getLogger(__name__)
_FIRST_SECONDS = 600.0
_DAY_SECONDS = 86400.0


def retention_of(chosen: RetentionSection) -> Retention:
    """Return what is kept, by the settings."""
    return Retention(
        job_days=chosen.job_days,
        artifact_days=chosen.artifact_days,
        log_days=chosen.log_days,
        partner_bytes=chosen.partner_mebibytes << 20,
    )


class Housekeeping:
    """A thread that prunes now and then."""

    def __init__(
        self,
        database: Database,
        files: ArtifactFiles,
        jobs: Path,
        retention: Retention,
        renew: Callable[[], None] = lambda: None,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._files = files
        self._jobs = jobs
        self._retention = retention
        self._renew = renew
        self._wall = wall
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin; the first round comes when the node has settled."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._thread.join(5.0)

    def tidy(self) -> PruneReport:
        """Remove now what is not to be kept. Errors: those of ``prune``."""
        found = prune(
            self._database, self._files, self._retention, self._wall(), job_folders=self._jobs
        )
        if found.jobs or found.artifacts or found.logs:
            _LOG.info(
                "pruned %d jobs, %d outputs and %d logs",
                len(found.jobs),
                found.artifacts,
                found.logs,
            )
        return found

    def _run(self) -> None:
        pause = _FIRST_SECONDS
        while not self._closing.wait(pause):
            pause = _DAY_SECONDS
            for what, work in (("pruning", self.tidy), ("renewing the certificate", self._renew)):
                try:
                    work()
                except Exception as error:
                    _LOG.error("%s failed: %s", what, unexpected(error))
