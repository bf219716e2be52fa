"""Real processes: one aggregator, three clients, and a kill -9 of each kind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atoll.cli.client.folder import ClientFolder
from atoll.flow.populations import folder as folders
from atoll.learning.horizontal.callbacks import Checkpoint
from tests.flow.populations.helpers import population, write_rows

ROUNDS = 8
SECONDS = 90.0


class Process:
    """A command of ``atoll`` with its lines in a file."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self.log = log
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "atoll", *arguments],
                stdout=stream,
                stderr=stream,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        return until(lambda: re.search(pattern, self.text()), self)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait(30) == -signal.SIGKILL

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


def until(found: Callable[[], re.Match[str] | None], of: Process) -> re.Match[str]:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        result = found()
        if result is not None:
            return result
        time.sleep(0.02)
    raise AssertionError(of.text())


@pytest.fixture
def started() -> Iterator[list[Process]]:
    found: list[Process] = []
    yield found
    for process in found:
        if process.process.poll() is None:
            process.process.kill()
            process.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


OPTIONS = {
    "host": "127.0.0.1",
    "clients": "2",
    "over": "1.5",
    "pace": "0.2",
    "window": "0.5",
    "fetch": "3",
    "limit": "10",
}


class World:
    """A population's folder and its clients', with the processes that run them."""

    def __init__(self, top: Path, started: list[Process]) -> None:
        self.top, self.started, self.port = top, started, free_port()
        training = {"rounds": ROUNDS, "minimum_clients": 2, "learning_rate": 0.5}
        self.made = population(top / "population", training)

    def serve(self, name: str) -> Process:
        options = {**OPTIONS, "port": str(self.port), "folder": str(self.made.root)}
        flags = [part for key, value in options.items() for part in (f"--{key}", value)]
        self.started.append(Process(self.top / name, "population", "serve", *flags, "--json"))
        return self.started[-1]

    def folder(self, number: int) -> ClientFolder:
        return ClientFolder(self.top / f"client-{number}")

    def join(self, number: int) -> Process:
        folder = self.folder(number)
        arguments = ["client", "join", "--folder", str(folder.root), "--verbose"]
        if not folder.has_joined():
            code = self.top / f"code-{number}"
            code.write_text(self.made.invite(f"127.0.0.1:{self.port}")[0][0].text())
            data = write_rows(self.top / f"rows-{number}.csv", number)
            arguments += ["--data", str(data), "--code-file", str(code), "--yes"]
        self.started.append(Process(self.top / f"client-{number}.log", *arguments))
        return self.started[-1]


@pytest.mark.drill
def test_a_killed_client_and_a_killed_aggregator_lose_no_round_and_count_none_twice(
    tmp_path: Path, started: list[Process]
) -> None:
    world = World(tmp_path, started)
    server = world.serve("first.log")
    server.wait_for("serves members")
    clients = [world.join(number) for number in range(3)]
    server.wait_for(r"round 2/8: \d of")
    clients[0].kill()
    server.wait_for(r"round 4/8: \d of")
    server.kill()
    clients[1].wait_for("not reached")
    subject = world.made.terms.digest.hex()
    reached = Checkpoint(world.made.root / folders.CHECKPOINT, subject=subject).resume()
    assert 4 <= reached.round < ROUNDS

    server = world.serve("second.log")
    server.wait_for(f"resumes after round {reached.round}")
    clients[0] = world.join(0)
    # A process that has not come so far yet would end by the signal below.
    clients[0].wait_for(r"(?s)dials out.*dials out")
    assert server.process.wait(SECONDS) == 0, server.text()
    shown = json.loads(server.text()[server.text().index("{") :])
    assert (shown["finished"], shown["rounds"], shown["failed_rounds"]) == (True, ROUNDS, 0)
    # What a client counted is at least what entered, and no more than one task a round, but for
    # the round that the killed aggregator began twice.
    answered = 0
    for number, client in enumerate(clients):
        assert client.end() == 0
        assert "Traceback" not in client.text()
        counted = world.folder(number).book().counts().tasks
        answers = client.text().count(": answered")
        assert answers <= counted <= ROUNDS + 1
        answered += answers
    assert answered >= 2 * ROUNDS - 1
