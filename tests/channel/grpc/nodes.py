"""Nodes on loopback: gateways, and workers' transports that go through them."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from atoll.channel.grpc import (
    Call,
    CallRefusedError,
    Gateway,
    GatewaySettings,
    GatewayTransport,
    WireSettings,
    new_token,
)
from atoll.channel.identity import Identity
from tests.channel.grpc.world import CALM, LONG, identities

BRISK = GatewaySettings(handshake_seconds=5.0, answer_seconds=20.0)


@dataclass
class Node:
    """One party's gateway, its folder for sockets, and its workers."""

    identity: Identity
    folder: Path
    settings: GatewaySettings = BRISK
    listen: str | None = "127.0.0.1:0"
    tokens: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.party = self.identity.party
        self.socket = self.folder / f"{self.party}.gate"
        self.gateway = self.start()

    def start(self) -> Gateway:
        """Start the gateway (again)."""
        gateway = Gateway(self.identity, self.socket, listen=self.listen, settings=self.settings)
        # The same port when started again.
        self.listen = gateway.address or self.listen
        return gateway

    def close(self) -> None:
        """Stop whichever gateway runs at the end."""
        self.gateway.close()

    @property
    def address(self) -> str:
        """Where the gateway listens."""
        assert self.gateway.address is not None
        return self.gateway.address

    def knows(self, other: Node, through: str | None = None) -> None:
        """Pin another node, dialled at its address or ``through`` something."""
        pin = self.identity.peers[other.party]
        address = through or other.gateway.address
        self.gateway.set_peer(other.party, pin.ca, address)

    def register(self, label: str, *peers: str) -> None:
        """Register a worker."""
        token = self.tokens.setdefault(label, new_token())
        self.gateway.register(label, token, self.worker_socket(label), peers)

    def worker_socket(self, label: str) -> Path:
        """Where the worker of a label listens."""
        return self.folder / f"{self.party}-{label}.work"

    def worker(
        self, label: str, peers: Mapping[str, bool], settings: WireSettings = CALM
    ) -> GatewayTransport:
        """Start the worker of a label."""
        return GatewayTransport(
            self.party,
            peers,
            gateway=self.socket,
            socket=self.worker_socket(label),
            token=self.tokens[label],
            label=label,
            settings=settings,
        )


@contextmanager
def nodes(
    *parties: str | Identity, settings: GatewaySettings = BRISK, place: str | None = None
) -> Iterator[list[Node]]:
    """Start nodes that trust and can dial each other; names get fresh identities."""
    fresh = identities(*(party for party in parties if isinstance(party, str)))
    who = [fresh[party] if isinstance(party, str) else party for party in parties]
    with tempfile.TemporaryDirectory(dir=place) as name, contextlib.ExitStack() as stack:
        made = [Node(identity, Path(name), settings) for identity in who]
        for node in made:
            stack.callback(node.close)
            for other in made:
                if other.party in node.identity.peers:
                    node.knows(other)
        yield made


@contextmanager
def workers(
    shop: Node, bank: Node, label: str = "job", settings: WireSettings = CALM
) -> Iterator[tuple[GatewayTransport, GatewayTransport]]:
    """Register a worker at both nodes and start it."""
    shop.register(label, bank.party)
    bank.register(label, shop.party)
    ours = shop.worker(label, {bank.party: True}, settings)
    theirs = bank.worker(label, {shop.party: True}, settings)
    try:
        yield ours, theirs
    finally:
        ours.abort("ATL-INT-001", "test")
        theirs.abort("ATL-INT-001", "test")


@contextmanager
def served(gateway: Gateway, work: Callable[[Call], bytes]) -> Iterator[None]:
    """Answer a gateway's calls in a thread; a ``CallRefusedError`` refuses with its code."""
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            call = gateway.next_call(0.05)
            if call is None:
                continue
            try:
                gateway.answer(call, work(call))
            except CallRefusedError as error:
                gateway.refuse(call, error.peer_code)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def interrupted(wait: Callable[..., object], *arguments: object) -> None:
    """Call what waits, and send this process an interrupt meanwhile."""
    alarm = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    alarm.start()
    try:
        wait(*arguments)
    finally:
        alarm.join()


def until(condition: Callable[[], object]) -> None:
    """Wait for something that must come about."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        threading.Event().wait(0.005)
