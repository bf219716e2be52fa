"""A SQLite file in trouble: full, read-only, damaged, locked, its owner killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from atoll.core.errors import AtollError, UserError
from atoll.core.processes import start_time
from atoll.flow.store import Database, Jobs, Meta
from atoll.flow.store.lock import FileLock
from atoll.jobs.errors import ConflictError, EnvironmentFault
from tests.flow.store.samples import job


def address(folder: Path) -> str:
    return f"sqlite:///{folder}/atoll.db"


@contextmanager
def child(code: str, *arguments: str, user: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a piece of Python in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        user=user,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_settings_that_durability_rests_on(sqlite: Database) -> None:
    def ask(name: str) -> object:
        return sqlite.write(lambda c: c.exec_driver_sql(f"PRAGMA {name}").scalar())

    assert [ask(n) for n in ("journal_mode", "synchronous", "foreign_keys")] == ["wal", 2, 1]
    assert sqlite.file is not None
    assert sqlite.file.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_writes_nothing_half(sqlite: Database) -> None:
    """SQLite's own bound on a file's pages stands for the disk's: it gives the same error."""
    jobs = Jobs(sqlite)
    jobs.create(job(1))
    pages = sqlite.read(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
    sqlite.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages + 4}"))

    def work(connection: Connection) -> None:
        jobs.create(job(2), connection=connection)
        jobs.create(job(3, notes="n" * 1_000_000), connection=connection)

    with pytest.raises(EnvironmentFault, match="ATL-STO-004") as caught:
        sqlite.write(work)
    assert caught.value.retryable
    assert jobs.counts() == {"waiting": 1}
    # A batch whose members do not fit spares those that do.
    wishes = [
        sqlite.submit(lambda c: jobs.create(job(4, notes="n" * 1_000_000), connection=c)),
        sqlite.submit(lambda c: jobs.create(job(5), connection=c)),
    ]
    assert isinstance(wishes[0].exception(30), EnvironmentFault)
    assert wishes[1].exception(30) is None
    sqlite.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=100000"))
    jobs.create(job(3, notes="n" * 1_000_000))
    found = sqlite.read(lambda c: c.exec_driver_sql("PRAGMA quick_check").scalar_one())
    assert found == "ok"


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users may enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


# The first opening loads all modules, which the other user may not be able to read.
READ_ONLY = (
    "import os, sys\nfrom pathlib import Path\n"
    "from atoll.core.errors import AtollError\nfrom atoll.flow.store import Database\n"
    "Database.open(sys.argv[1]).close(); Path(sys.argv[2]).chmod(0o444)\n"
    "if os.geteuid() == 0:\n"
    "    Path(sys.argv[2] + '.lock').chmod(0o666)\n"
    "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    "try:\n    Database.open(sys.argv[1])\n"
    "except AtollError as error:\n    print(error.code, bool(error.hint))\n"
)


def test_a_file_without_rights(public: Path) -> None:
    with child(READ_ONLY, address(public), f"{public}/atoll.db") as process:
        assert line(process) == "ATL-STO-005 True"


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 8000]
)
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "atoll.db").write_bytes(content)
    with pytest.raises(EnvironmentFault, match="ATL-STO-006"):
        Database.open(address(tmp_path))
    assert (tmp_path / "atoll.db").read_bytes() == content


def test_a_damaged_page_is_seen_at_start(tmp_path: Path) -> None:
    with Database.open(address(tmp_path)) as database:
        jobs = Jobs(database)

        def fill(connection: Connection) -> None:
            for number in range(200):
                jobs.create(job(number, notes="n" * 3000), connection=connection)

        database.write(fill)
    file = tmp_path / "atoll.db"
    whole = bytearray(file.read_bytes())
    middle = len(whole) // 2 // 4096 * 4096
    whole[middle : middle + 200] = b"\xff" * 200
    file.write_bytes(whole)
    with pytest.raises(EnvironmentFault, match="ATL-STO-006") as caught:
        Database.open(address(tmp_path))
    assert "restore" in (caught.value.hint or "")


def test_a_foreign_lock_is_waited_for_and_named(tmp_path: Path) -> None:
    with Database.open(address(tmp_path), retry_seconds=0.1) as database:
        with closing(sqlite3.connect(tmp_path / "atoll.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            wish = database.submit(lambda c: Meta(database).set("a", "1", connection=c))
            with pytest.raises(EnvironmentFault, match="ATL-STO-002"):
                wish.result(30)
            waiting = database.submit(lambda c: Meta(database).set("b", "1", connection=c))
            other.execute("ROLLBACK")
        waiting.result(30)
        assert (Meta(database).get("a"), Meta(database).get("b")) == (None, "1")


HOLD = (
    "import sys\nfrom atoll.flow.store import Database\n"
    "database = Database.open(sys.argv[1]); print('open', flush=True); sys.stdin.read()\n"
)


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    with child(HOLD, address(tmp_path)) as process:
        assert line(process) == "open"
        with pytest.raises(ConflictError, match=f"ATL-STO-007.*{process.pid}"):
            Database.open(address(tmp_path))
        with Database.open_reading(address(tmp_path)) as beside:
            assert Jobs(beside).counts() == {}
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        with Database.open(address(tmp_path)) as database:
            assert Jobs(database).counts() == {}


def test_the_lock_where_the_system_has_none(tmp_path: Path) -> None:
    """The file's text alone refuses, too, while that process lives; and not after."""
    lock = FileLock(tmp_path / "lock")
    with child("import sys; print('up', flush=True); sys.stdin.read()") as process:
        line(process)
        text = f'{{"pid": {process.pid}, "started": "{start_time(process.pid)}"}}'
        lock.path.write_text(text)
        with pytest.raises(ConflictError, match="ATL-STO-007"):
            lock.acquire()
        lock.path.write_text(text.replace('"started": "', '"started": "1'))
        assert lock.acquire()
        lock.release()
        assert lock.path.read_text() == ""
        lock.path.write_text(text)
    assert lock.acquire()
    lock.release()
    assert not lock.acquire()
    lock.release()


def test_a_link_is_no_lock_file(tmp_path: Path) -> None:
    (tmp_path / "atoll.db.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EnvironmentFault, match="ATL-STO-001"):
        Database.open(address(tmp_path))
    assert not (tmp_path / "elsewhere").exists()


WRITE = (
    "import sys\nfrom atoll.flow.store import Database, Meta\n"
    "database = Database.open(sys.argv[1]); meta = Meta(database)\n"
    "for n in range(10**6):\n"
    "    def work(c):\n"
    "        meta.set('a', str(n), connection=c); meta.set('b', str(n), connection=c)\n"
    "    database.write(work); print(n, flush=True)\n"
)


def test_what_was_confirmed_survives_a_kill(tmp_path: Path) -> None:
    for _ in range(2):
        with child(WRITE, address(tmp_path)) as process:
            reported = [int(line(process)) for _ in range(5)][-1]
            process.kill()
            process.wait(30)
            rest = process.stdout.read().split() if process.stdout else []
            reported = int(rest[-1]) if rest and rest[-1].isdigit() else reported
        with Database.open(address(tmp_path)) as database:
            first, second = Meta(database).get("a"), Meta(database).get("b")
            assert first == second
            assert int(first or -1) >= reported


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "oracle://a/b", "no address", "", "mssql://x"]
)
def test_an_address_that_cannot_be_used(url: str) -> None:
    with pytest.raises(UserError, match="ATL-STO-001"):
        Database.open(url)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AtollError, match="ATL-STO-001"):
        Database.open(f"sqlite:///{tmp_path}/file/atoll.db")
    with pytest.raises(EnvironmentFault, match="ATL-STO-001"):
        Database.open_reading(f"sqlite:///{tmp_path}/none.db")


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_is_not_there(scheme: str) -> None:
    with pytest.raises(EnvironmentFault, match=r"ATL-STO-00[13]") as caught:
        Database.open(f"{scheme}://someone:secret@127.0.0.1:1/none", retry_seconds=0.1)
    assert "secret" not in str(caught.value)
