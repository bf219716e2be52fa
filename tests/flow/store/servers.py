"""Real database servers for tests: started in a folder of their own, gone with the process.

They refuse to run as root, so root hands them to their own user (or ``nobody``). Nothing is
synchronised to disk: what a crash of the machine does to them is not our subject.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from tools.programs import find_mariadb, find_postgres

START_SECONDS = 60.0


class MissingServer(Exception):
    """The server's programs are not on this machine."""


@dataclass
class Server:
    """A running server; ``url`` has a place for the database's name.

    ``first`` is a database that is always there, ``state`` a file that ends in "ready" once all are
    let in, for a server that listens before that.
    """

    name: str
    command: Sequence[str]
    folder: Path
    socket: Path
    url: str
    driver: str
    first: str
    stop_signal: signal.Signals
    state: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start and wait until it takes connections."""
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                printed = (self.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"{self.name} does not start:\n{printed[-2000:]}")
            time.sleep(0.05)

    def engine(self) -> Engine:
        """Return what speaks to it as its administrator, each statement for itself."""
        url = self.url.format(name=self.first).replace(self.url.partition(":")[0], self.driver, 1)
        return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def create(self, name: str) -> str:
        """Make a new, empty database; return its address."""
        with self.engine().connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return self.url.format(name=name)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return self.state is None or self.state.read_text().rstrip().endswith("\nready")

    def stop(self, number: signal.Signals | None = None) -> None:
        """End it and wait."""
        if self.process is not None:
            self.process.send_signal(number or self.stop_signal)
            self.process.wait(30)
            self.process = None


def _account(*names: str) -> str | None:
    if os.geteuid() != 0:
        return None
    for name in (*names, "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise MissingServer("no user to run a server as")


def _as(user: str | None, *command: str, death: str = "TERM") -> list[str]:
    """Run as ``user``, and end when we end, however that is."""
    changed = (
        [] if user is None else [f"--reuid={user}", f"--regid={_group(user)}", "--clear-groups"]
    )
    return ["setpriv", *changed, "--pdeathsig", death, *command]


def _group(user: str) -> str:
    return str(pwd.getpwnam(user).pw_gid)


@contextlib.contextmanager
def _folder(user: str | None) -> Iterator[Path]:
    # Not below the tests' own folder: that is closed to other users, and long for a socket's name.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30
    folder = Path(tempfile.mkdtemp(prefix="atoll-db-", dir=memory if roomy else "/tmp"))
    try:
        if user is not None:
            shutil.chown(folder, user, int(_group(user)))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stdout[-1000:]}{done.stderr[-2000:]}")


_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


@contextlib.contextmanager
def postgres(*, durable: bool = False) -> Iterator[Server]:
    """Run a PostgreSQL server on a Unix socket; a durable one survives a crash."""
    programs = find_postgres()
    if programs is None:
        raise MissingServer("PostgreSQL")
    user = _account("postgres")
    with _folder(user) as folder:
        data = str(folder / "data")
        start = [str(programs / "initdb"), "--pgdata", data, "--auth", "trust", "--no-sync"]
        _run(
            _as(user, *start, "--encoding", "UTF8", "--locale", "C", "--username", "atoll"), folder
        )
        quick = {} if durable else dict.fromkeys(_DURABLE, "off")
        options = quick | {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "max_connections": "60",
            "shared_buffers": "16MB",
        }
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        command = _as(user, str(programs / "postgres"), "-D", data, *flags, death="QUIT")
        path = folder / ".s.PGSQL.5432"
        url = f"postgresql://atoll@/{{name}}?unix_sock={path}"
        server = Server(
            name="PostgreSQL",
            command=command,
            folder=folder,
            socket=path,
            url=url,
            driver="postgresql+pg8000",
            first="postgres",
            stop_signal=signal.SIGQUIT,
            state=folder / "data" / "postmaster.pid",
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def mariadb() -> Iterator[Server]:
    """Run a MariaDB server on a Unix socket."""
    programs = find_mariadb()
    if programs is None:
        raise MissingServer("MariaDB")
    user = _account("mysql")
    with _folder(user) as folder:
        data = f"--datadir={folder / 'data'}"
        install = [str(programs.install), "--no-defaults", data, "--skip-test-db"]
        # The tests' own temporary folder is closed to this user.
        install += ["--auth-root-authentication-method=normal", f"--tmpdir={folder}"]
        _run(_as(user, *install), folder)
        path = folder / "sock"
        options = ["--skip-networking", f"--socket={path}", f"--tmpdir={folder}"]
        options.append("--performance-schema=OFF")
        options += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=24M"]
        options += ["--innodb-log-file-size=16M", f"--pid-file={folder / 'pid'}", "--skip-log-bin"]
        command = _as(user, str(programs.server), "--no-defaults", data, *options, death="KILL")
        url = f"mysql://root@localhost/{{name}}?unix_socket={path}"
        server = Server(
            name="MariaDB",
            command=command,
            folder=folder,
            socket=path,
            url=url,
            driver="mysql+pymysql",
            first="mysql",
            stop_signal=signal.SIGKILL,
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()
