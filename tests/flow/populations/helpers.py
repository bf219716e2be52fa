"""A population in a folder, served over real TLS in this process, and clients of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from atoll.channel.outbound.codes import JoinCode
from atoll.cli.client.folder import ClientFolder
from atoll.cli.client.session import Enrolment, MemberSession, visits
from atoll.core.random import SecretRandom
from atoll.flow.populations import folder as folders
from atoll.flow.populations.folder import Population
from atoll.flow.populations.running import Running, Served, ServeOptions
from atoll.learning.horizontal.conditions import Condition
from atoll.learning.horizontal.population.attendance import Pace, RoundRules
from atoll.learning.horizontal.population.member import PopulationMember
from atoll.learning.horizontal.population.work import PopulationWork
from atoll.learning.horizontal.rounds import Closing
from tests.learning.horizontal.population.helpers import rows, terms_with

TRAINING: dict[str, Any] = {"algorithm": "fedavg", "rounds": 3, "minimum_clients": 1}
RULES = RoundRules(pace=Pace(least=0.1), closing=Closing(limit=20), fetch=5, window=0.2)


def population(root: Path, training: dict[str, Any] | None = None, **named: Any) -> Population:
    return folders.create(root, terms_with({**TRAINING, **(training or {})}, **named))


def write_rows(path: Path, number: int, count: int = 40) -> Path:
    data = rows(number, count)
    table = np.column_stack([data.rows, data.targets])
    lines = [f"r{at}," + ",".join(f"{v:.6g}" for v in row) for at, row in enumerate(table.tolist())]
    path.write_text("\n".join(["id,a,b,c,y", *lines]) + "\n")
    return path


class Serving:
    """A population that is served by a thread of this process, until it notes ``stop_at``."""

    def __init__(self, of: Population, stop_at: str | None = None, **options: Any) -> None:
        self.population = of
        self.lines: list[str] = []
        self._stop_at = stop_at
        chosen = {"host": "127.0.0.1", "count": 2, "over": 1.0, "rules": RULES, **options}
        self.running = Running(of, ServeOptions(**chosen), self._note)
        self.port = 0
        self.result: Served | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.result = self.running.run(self._listens)

    def _note(self, line: str) -> None:
        self.lines.append(line)
        if self._stop_at is not None and self._stop_at in line:
            self.running.stop()

    def _listens(self, port: int) -> None:
        self.port = port
        self._ready.set()

    def start(self) -> Serving:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def wait(self, seconds: float = 60) -> Served:
        self._thread.join(seconds)
        assert self.result is not None
        return self.result

    def stop(self) -> Served:
        self.running.stop()
        return self.wait()

    def code(self, **named: Any) -> JoinCode:
        return self.population.invite(f"127.0.0.1:{self.port}", **named)[0][0]


@contextmanager
def serving(of: Population, **options: Any) -> Iterator[Serving]:
    made = Serving(of, **options).start()
    try:
        yield made
    finally:
        made.stop()


def enrolled(root: Path, code: JoinCode) -> ClientFolder:
    folder = ClientFolder(root)
    enrolment = Enrolment(folder, code)
    try:
        enrolment.agree(enrolment.terms(), "none", None)
    finally:
        enrolment.close()
    return folder


def member_of(folder: ClientFolder, number: int, session: MemberSession) -> PopulationMember:
    return PopulationMember(
        work=PopulationWork(folder.terms()),
        data=rows(number),
        ask=session,
        book=folder.book(),
        condition=Condition,
        note=lambda _: None,
        trace=lambda _: None,
        secret=SecretRandom(),
    )


class Clients:
    """Enrolled clients that come and go, each in a thread, until this is closed."""

    def __init__(self, folders_: list[ClientFolder]) -> None:
        self._stopping = threading.Event()
        self.ended: dict[int, str] = {}
        self._threads = [
            threading.Thread(target=self._run, args=(at, folder))
            for at, folder in enumerate(folders_)
        ]

    def _run(self, at: int, folder: ClientFolder) -> None:
        session = MemberSession(folder)
        member = member_of(folder, at, session)
        self.ended[at] = visits(member, session, self._stopping, lambda _: None)
        session.close()

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
