"""Many clients in one process, each with a folder, a key and a kept TLS connection of its own.

``python -m tests.flow.populations.load CODES FOLDER FIRST``: enrols a client for each line of the
file CODES, and lets them come and go, whoever is due first, until standard input ends.
"""

from __future__ import annotations

import heapq
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from atoll.channel.outbound.codes import read_code
from atoll.cli.client.session import MemberSession
from atoll.core.errors import AtollError
from atoll.learning.horizontal.population.member import PopulationMember
from tests.flow.populations.helpers import enrolled, member_of


def main(codes: Path, root: Path, first: int) -> None:
    ended = threading.Event()

    def follow() -> None:
        while os.read(0, 4096):
            pass
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    began = time.process_time()
    due: list[tuple[float, int]] = []
    members: list[PopulationMember] = []
    for at, line in enumerate(codes.read_text().splitlines()):
        folder = enrolled(root / f"client-{first + at}", read_code(line))
        member = member_of(folder, first + at, MemberSession(folder))
        members.append(replace(member, work=members[0].work) if members else member)
        heapq.heappush(due, (0.0, at))
    print(
        f"enrolled {len(members)} in {time.process_time() - began:.1f} s of processor", flush=True
    )
    outcomes: Counter[str] = Counter()
    began = time.process_time()
    while not ended.is_set():
        when, at = due[0]
        ended.wait(max(0.0, when - time.monotonic()))
        try:
            wait = members[at].visit()
            outcomes["visits"] += 1
        except AtollError as error:
            outcomes[error.code] += 1
            wait = 1.0
        heapq.heapreplace(due, (time.monotonic() + wait, at))
    tasks = sum(member.book.counts().tasks for member in members)
    spent = time.process_time() - began
    print(f"{dict(outcomes)}, {tasks} tasks, {spent:.1f} s of processor", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
