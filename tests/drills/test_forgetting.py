"""A node whose database forgot a job: its partner tells it now and then, and does not storm it."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.drills.acts import Pair
from tests.drills.checks import wait_ended

WATCHED_SECONDS = 4.0
IDLE_SECONDS = 1.5


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.drill
def test_a_forgotten_job_makes_no_storm(two: Pair) -> None:
    job = two.submit()
    for node in two.made.values():
        wait_ended(node, job)
    two["shop"].stop()
    with closing(sqlite3.connect(two["shop"].folder.database)) as database:
        database.execute("PRAGMA foreign_keys=ON")
        database.execute("DELETE FROM jobs WHERE id = ?", (job,))
        database.commit()
    two["bank"].kill()
    two.start("shop")
    two.start("bank")
    two.still_works()
    pid = two["bank"].folder.running()
    assert pid is not None
    before = cpu_seconds(pid)
    time.sleep(WATCHED_SECONDS)
    assert cpu_seconds(pid) - before < IDLE_SECONDS
    two.still_works()
