"""What drills do to two nodes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from atoll.core.errors import AtollError, NetworkError
from atoll.flow.node.jobs.fault_injection import KILL_COMMIT
from atoll.jobs.definition import Job
from atoll.jobs.errors import NotFoundError
from atoll.sdk.calls import jobs as calls
from tests.drills.checks import ENDED, check, wait_ended
from tests.e2e.nodes import TestNode, small_job, until

NOBODYS = "20000101000000-00000000"


def order_of(node: TestNode) -> Path:
    """Return the file that tells a node when to die."""
    return node.folder.root / "fault"


@dataclass
class Pair:
    """Two nodes, and the words of a drill."""

    made: dict[str, TestNode]

    def __getitem__(self, party: str) -> TestNode:
        """Return a node."""
        return self.made[party]

    def start(self, *parties: str, **settings: str) -> None:
        """Start nodes (all that are down)."""
        for party in parties or self.made:
            node = self.made[party]
            if node.folder.running() is None:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv(KILL_COMMIT, str(order_of(node)))
                    node.start(**settings).close()

    def submit(self, job: Job | None = None, key: str | None = None, **options: Any) -> str:
        """Submit a job at the bank and return its id. ``reuse`` is off unless said."""
        job = small_job("bank", "shop", name="drill") if job is None else job
        with self["bank"].client() as bank:
            return bank.jobs.submit(job, options={"reuse": False, **options}, key=key).id

    def submit_surely(self) -> tuple[str, bool]:
        """Submit a job once although the node may die of it; say whether it did."""
        key = secrets.token_hex(8)
        try:
            return self.submit(key=key), False
        except AtollError:
            until(lambda: self["bank"].folder.running() is None)
            self.spare("bank")
            self.start("bank")
            return self.submit(key=key), True

    def die_at(self, victim: str, moment: str, count: int | str) -> None:
        """Tell a node to die before or after its commit of this number, or after a job's end."""
        order_of(self[victim]).write_text(f"{moment} {count}")

    def spare(self, victim: str) -> None:
        """Take that back; afterwards the node is dead, or it lives on."""
        order_of(self[victim]).unlink(missing_ok=True)
        if self[victim].folder.running() is None:
            return
        try:
            # Answered by the thread that commits, so what it was at is over.
            with self[victim].client() as client:
                client.send(calls.stop(NOBODYS))
        except NetworkError:
            until(lambda: self[victim].folder.running() is None)
        except NotFoundError:
            pass

    def dead_or_done(self, victim: str, job: str) -> bool:
        """Wait until the node died or the job ended there; say whether it died."""

        def over() -> bool:
            return dead() or self._ended(victim, job)

        def dead() -> bool:
            return self[victim].folder.running() is None

        until(over)
        return dead()

    def _ended(self, victim: str, job: str) -> bool:
        try:
            with self[victim].client() as client:
                return client.jobs.get(job).state in ENDED
        except AtollError:
            return False

    def well(self, *jobs: str, success: bool = True) -> None:
        """Check these jobs and the nodes."""
        check(self.made, *jobs, success=success)

    def still_works(self) -> None:
        """Run one more job."""
        job = self.submit()
        for node in self.made.values():
            assert wait_ended(node, job).state == "success"
