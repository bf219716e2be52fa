"""The demo's two nodes: made, started, filled, and stopped however the demo ends."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from atoll.channel.identity import export_ca, trust
from atoll.cli.demo.data import GUEST, HOST, LABEL, Shares
from atoll.cli.node_process import command
from atoll.core.errors import InternalError
from atoll.flow.node import creating, process
from atoll.flow.node.folder import NodeFolder
from atoll.sdk import Client
from atoll.table import write_csv

TABLE = "people"
PARTIES = (GUEST, HOST)
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0


@dataclass
class Federation:
    """Both nodes of a demo, running. ``passwords`` are those of each node's user ``admin``."""

    folder: Path
    passwords: dict[str, str] = field(default_factory=dict)
    running: dict[str, process.Running] = field(default_factory=dict)

    def node(self, party: str) -> NodeFolder:
        """Return a party's node folder."""
        return NodeFolder(self.folder / party)

    def client(self, party: str) -> Client:
        """Return a client of a party's node, as the administrator of this machine."""
        found = self.running[party]
        return Client(found.url, token=found.token)


@contextmanager
def federation(folder: Path, shares: Shares, *, keep: bool = False) -> Iterator[Federation]:
    """Make two nodes that trust each other, start them, and register each party's table.

    With ``keep`` they go on running; without it they end with this process, even if it is killed.
    """
    made = Federation(folder)
    ports = {party: _free_port() for party in PARTIES}
    for party in PARTIES:
        settings = {"gateway.listen": f"127.0.0.1:{ports[party]}", "http.port": "0"}
        done = creating.create(folder / party, party, settings=settings)
        made.passwords[party] = done.password or ""
    for one, other in (PARTIES, PARTIES[::-1]):
        trust(folder / one, other, export_ca(folder / other), f"127.0.0.1:{ports[other]}")
    attached: list[subprocess.Popen[bytes]] = []
    try:
        _start(made, attached, keep=keep)
        _register(made, shares)
        yield made
    except BaseException:
        if keep:
            for party in PARTIES:
                process.down(made.node(party), seconds=_STOP_SECONDS)
        raise
    finally:
        _stop(attached)


def _start(made: Federation, attached: list[subprocess.Popen[bytes]], *, keep: bool) -> None:
    if keep:
        with ThreadPoolExecutor() as pool:
            nodes = {party: made.node(party) for party in PARTIES}
            starting = {p: pool.submit(process.up, at, command(at)) for p, at in nodes.items()}
        made.running = {party: future.result() for party, future in starting.items()}
        return
    for party in PARTIES:
        node = made.node(party)
        with node.log.open("ab") as log:
            attached.append(
                subprocess.Popen(  # noqa: S603 -- our own interpreter and folder
                    [*command(node), "--attached"],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    # Ctrl-C is for us; we tell the nodes.
                    start_new_session=True,
                )
            )
    deadline = time.monotonic() + _START_SECONDS
    for party, child in zip(PARTIES, attached, strict=True):
        made.running[party] = _wait(made.node(party), child, deadline)


def _wait(node: NodeFolder, child: subprocess.Popen[bytes], deadline: float) -> process.Running:
    while (found := process.find(node)) is None:
        if child.poll() is not None or time.monotonic() > deadline:
            text = node.log.read_text(encoding="utf-8", errors="replace").strip()
            last = text.splitlines()[-1] if text else "it said nothing"
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


def _register(made: Federation, shares: Shares) -> None:
    """Register each party's table; the host lets the guest use its own for anything."""
    for party, table in ((GUEST, shares.guest), (HOST, shares.host)):
        path = made.node(party).data / f"{TABLE}.csv"
        write_csv(table, path)
        with made.client(party) as client:
            label = LABEL if party == GUEST else None
            client.data.register(TABLE, str(path), id="id", label=label)
            if party == HOST:
                client.data.grant(
                    TABLE,
                    partners=[GUEST],
                    columns=["*"],
                    components=["*"],
                    roles=["host"],
                    automatic=True,
                )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
