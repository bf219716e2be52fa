"""Workers that split off one process: alone, clean, of their own, and independent of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atoll.flow.work.artifacts import load
from atoll.flow.work.pool import Pool
from tests.flow.work import little
from tests.flow.work.test_pool import (
    OTHER_JOB,
    ROOT,
    begin,
    gone,
    settings,
    until,
    warm,
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with Pool(settings(tmp_path_factory.mktemp("pool"))) as made:
        until(lambda: bool(warm(made)))
        yield made


@pytest.fixture(autouse=True)
def _release(pool: Pool) -> Iterator[None]:
    yield
    for job in (little.JOB_ID, OTHER_JOB):
        pool.release_job(job)
    until(lambda: pool.free() == 3)


def shown(pool: Pool, folder: Path, job: str) -> dict[str, Any]:
    """Run a task that tells of its process."""
    _, ear = begin(pool, folder, "show", job)
    event = ear.end()
    assert event.kind == "done", event
    kept = event.data["outputs"]["thing"]
    found: dict[str, Any] = load(kept["kind"], folder / "outputs" / kept["digest"], kept["digest"])
    return found


def server_of(pool: Pool) -> int:
    assert pool.starter.server is not None
    return pool.starter.server


def test_two_jobs_never_share_a_process_or_a_random_number(pool: Pool, tmp_path: Path) -> None:
    one, other = (shown(pool, tmp_path, job) for job in (little.JOB_ID, OTHER_JOB))
    for name in ("pid", "group", "secret", "numpy", "python"):
        assert one[name] != other[name], name
    for found in (one, other):
        assert found["pid"] == found["group"] != server_of(pool)
        assert found["parent"] == os.getpid()
        assert found["nice"] == os.getpriority(os.PRIO_PROCESS, 0)


def test_a_fork_has_its_three_pipes_and_one_thread_and_nothing_else(pool: Pool) -> None:
    until(lambda: bool(warm(pool)))
    (pid, *_) = warm(pool)
    assert len(os.listdir(f"/proc/{pid}/task")) == 1
    links = {n: os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
    # Its own are moved out of the reach of what prints; two more wake it for a signal.
    assert links.pop("0") == os.devnull
    assert links.pop("1") == links.pop("2")
    assert len(links) == 4
    assert all(link.startswith("pipe:") for link in links.values())
    theirs = {os.readlink(f"/proc/{server_of(pool)}/fd/{n}") for n in ("0", "1", "2")}
    assert not theirs & set(links.values())


def test_a_task_has_no_file_of_another_worker(pool: Pool, tmp_path: Path) -> None:
    one, other = (shown(pool, tmp_path, job) for job in (little.JOB_ID, OTHER_JOB))
    pipes = [
        {link for link in found["files"].values() if link.startswith(("pipe:", "socket:"))}
        for found in (one, other)
    ]
    assert not pipes[0] & pipes[1]


def test_a_server_that_is_killed_takes_no_task_along_and_is_replaced(
    pool: Pool, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "path")
    _, ear = begin(pool, tmp_path, "hang")
    ear.wait("progress")
    former = server_of(pool)
    os.kill(former, signal.SIGKILL)
    until(lambda: pool.starter.server not in (None, former))
    # The next job gets a worker meanwhile, and the one in flight goes on.
    assert shown(pool, tmp_path, OTHER_JOB)["pid"] not in (former, server_of(pool))
    (tmp_path / "path").write_bytes(b"go on")
    assert ear.end().kind == "done"
    assert gone(former)


def test_a_worker_of_a_killed_server_still_dies_as_one_of_this_pool(
    pool: Pool, tmp_path: Path
) -> None:
    worker, ear = begin(pool, tmp_path, "wait")
    ear.wait("progress")
    os.kill(server_of(pool), signal.SIGKILL)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    lost = ear.end()
    assert (lost.kind, lost.data["error"]["code"]) == ("lost", "ATL-WRK-001")
    assert "signal 9" in lost.data["error"]["message"]
    assert not Path(f"/proc/{worker.pid}").exists()


def test_a_server_and_its_workers_die_with_their_node(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tests.flow.work.test_pool import settings, warm\n"
        "from atoll.flow.work.pool import Pool\n"
        "pool = Pool(settings(Path(sys.argv[1]), warm=2))\n"
        "while len(warm(pool)) < 2: time.sleep(0.02)\n"
        "print(pool.starter.server, *warm(pool), flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as node:
        assert node.stdout is not None
        pids = [int(word) for word in node.stdout.readline().split()]
        assert len(pids) == 3
        node.kill()
        until(lambda: all(gone(pid) for pid in pids))


THREAD = "threading.Thread(target=threading.Event().wait, daemon=True).start()"


@pytest.mark.parametrize(
    ("program", "forks", "kept"),
    [
        (THREAD, True, False),
        ("held = open(os.devnull)", True, False),
        ("if '--forks' in sys.argv: raise SystemExit(1)", True, False),
        ("pass", False, False),
        ("pass", True, True),
    ],
    ids=["a thread", "an open file", "a server that ends", "not wanted", "clean"],
)
def test_without_a_clean_server_workers_are_fresh_interpreters(
    tmp_path: Path, program: str, forks: bool, kept: bool
) -> None:
    main = (
        f"import os, sys, threading\n{program}\n"
        "from atoll.flow.work.__main__ import main\n"
        "from tests.flow.work.worker_main import ACT\n"
        "os._exit(main({'act': ACT}))\n"
    )
    with Pool(settings(tmp_path, arguments=("-c", main), forks=forks)) as pool:
        worker, ear = begin(pool, tmp_path, "remember")
        assert ear.end().kind == "done"
        arguments = Path(f"/proc/{worker.pid}/cmdline").read_bytes().split(b"\0")
        assert (b"--forks" in arguments) == kept
