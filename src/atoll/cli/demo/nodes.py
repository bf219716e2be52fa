"""The demo's nodes: processes that are made, started, and stopped however the demo ends."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

from atoll.channel.identity import export_ca, trust
from atoll.cli.node_process import command
from atoll.core.errors import InternalError
from atoll.flow.node import creating, process
from atoll.flow.node.folder import NodeFolder
from atoll.sdk import Client

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0


@dataclass
class Nodes:
    """The nodes of a demo, running. ``passwords`` are those of each node's user ``admin``."""

    folder: Path
    parties: tuple[str, ...]
    passwords: dict[str, str] = field(default_factory=dict)
    running: dict[str, process.Running] = field(default_factory=dict)

    def node(self, party: str) -> NodeFolder:
        """Return a party's node folder."""
        return NodeFolder(self.folder / party)

    @contextmanager
    def clients(self) -> Iterator[dict[str, Client]]:
        """Give a client of each node, as the administrator of this machine."""
        with ExitStack() as stack:
            found = {p: Client(at.url, token=at.token) for p, at in self.running.items()}
            yield {party: stack.enter_context(client) for party, client in found.items()}


@contextmanager
def nodes(folder: Path, parties: Sequence[str], *, keep: bool = False) -> Iterator[Nodes]:
    """Make nodes that trust each other and start them.

    With ``keep`` they go on running; without it they end with this process, even if it is killed.
    """
    made = Nodes(folder, tuple(parties))
    ports = {party: _free_port() for party in parties}
    for party in parties:
        settings = {"gateway.listen": f"127.0.0.1:{ports[party]}", "http.port": "0"}
        done = creating.create(folder / party, party, settings=settings)
        made.passwords[party] = done.password or ""
    for one, other in permutations(parties, 2):
        trust(folder / one, other, export_ca(folder / other), f"127.0.0.1:{ports[other]}")
    attached: list[subprocess.Popen[bytes]] = []
    try:
        _start(made, attached, keep=keep)
        yield made
    except BaseException:
        if keep:
            for party in parties:
                process.down(made.node(party), seconds=_STOP_SECONDS)
        raise
    finally:
        _stop(attached)


def _start(made: Nodes, attached: list[subprocess.Popen[bytes]], *, keep: bool) -> None:
    if keep:
        with ThreadPoolExecutor() as pool:
            nodes = {party: made.node(party) for party in made.parties}
            starting = {p: pool.submit(process.up, at, command(at)) for p, at in nodes.items()}
        made.running = {party: future.result() for party, future in starting.items()}
        return
    for party in made.parties:
        node = made.node(party)
        with node.log.open("ab") as log:
            attached.append(
                subprocess.Popen(  # noqa: S603 -- our own interpreter and folder
                    [*command(node), "--attached"],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C is for this process, which then stops the nodes.
                    start_new_session=True,
                )
            )
    deadline = time.monotonic() + _START_SECONDS
    for party, child in zip(made.parties, attached, strict=True):
        made.running[party] = _wait(made.node(party), child, deadline)


def _wait(node: NodeFolder, child: subprocess.Popen[bytes], deadline: float) -> process.Running:
    while (found := process.find(node)) is None:
        if child.poll() is not None or time.monotonic() > deadline:
            text = node.log.read_text(encoding="utf-8", errors="replace").strip()
            last = text.splitlines()[-1] if text else "it printed nothing"
            raise InternalError(
                "ATL-CLI-003", f"a node of the demo did not start: {last}", place=str(node.log)
            )
        time.sleep(0.02)
    return found


def _stop(attached: list[subprocess.Popen[bytes]]) -> None:
    for child in attached:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + _STOP_SECONDS
    for child in attached:
        try:
            child.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
