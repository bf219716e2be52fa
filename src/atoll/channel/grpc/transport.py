"""The transport between organisations; see ``channel.api.Transport`` for what it promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from atoll_native import NativeError, WireEndpoint

from atoll.channel.api import Buffer
from atoll.channel.grpc.failures import translated
from atoll.channel.identity import Identity, Peer
from atoll.core.errors import AtollError
from atoll.core.limits import MESSAGE_BYTES
from atoll.core.names import Scope


@dataclass(frozen=True)
class WireSettings:
    """Time limits in seconds and the window in bytes; the defaults suit two organisations.

    A peer silent for ``silence_seconds`` is lost; one not met within ``connect_seconds`` is
    unreachable. A sender goes at most ``window_bytes`` ahead of what the receiver has read.
    """

    silence_seconds: float = 30.0
    heartbeat_seconds: float = 2.0
    connect_seconds: float = 60.0
    handshake_seconds: float = 10.0
    linger_seconds: float = 30.0
    window_bytes: int = MESSAGE_BYTES + (1 << 20)

    def limits(self) -> dict[str, Any]:
        """Return them as the native endpoint takes them."""
        return {
            "silence_s": self.silence_seconds,
            "heartbeat_s": self.heartbeat_seconds,
            "connect_s": self.connect_seconds,
            "handshake_s": self.handshake_seconds,
            "linger_s": self.linger_seconds,
            "window_bytes": self.window_bytes,
        }


class WireTransport:
    """What both transports share: one native endpoint, its calls and its errors."""

    def __init__(self, party: str, peers: Sequence[str], start: Callable[[], WireEndpoint]) -> None:
        self.party = party
        self.peers = tuple(peers)
        try:
            self._endpoint = start()
        except NativeError as error:
            raise translated(error) from None

    def send(self, peer: str, scope: Scope, tag: str, body: Buffer, timeout: float) -> None:
        """Copy one message and hand it over; blocks while the peer's window is full."""
        try:
            self._endpoint.send(peer, _tuple(scope), tag, body, timeout)
        except NativeError as error:
            raise translated(error) from None

    def receive(self, peer: str, scope: Scope, tag: str, timeout: float) -> Buffer:
        """Wait for the next message of this peer, scope and tag."""
        try:
            return self._endpoint.receive(peer, _tuple(scope), tag, timeout)
        except NativeError as error:
            raise translated(error) from None

    def receive_any(
        self, peers: Sequence[str], scope: Scope, tag: str, timeout: float
    ) -> tuple[str, Buffer]:
        """Wait for the next message of any of these peers; return who sent it."""
        try:
            return self._endpoint.receive_any(list(peers), _tuple(scope), tag, timeout)
        except NativeError as error:
            raise translated(error) from None

    def counters(self) -> dict[str, dict[str, int]]:
        """Return counts by peer (messages, bytes, frames, connections); those of the stream
        include TLS's payload. Under ``""``: how often something was refused here, by code.
        """
        return self._endpoint.counters()

    def cancel(self) -> None:
        """End every waiting call, and those to come, with ATL-NET-023."""
        self._endpoint.cancel()

    def abort(self, code: str, phase: str) -> None:
        """Report to every peer that this party failed: code and phase only, then close."""
        self._endpoint.abort(code, phase)

    def close(self) -> None:
        """Close the session once everything is delivered, and free every resource."""
        self._endpoint.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        code = error.code if isinstance(error, AtollError) else "ATL-INT-001"
        phase = error.phase if isinstance(error, AtollError) and error.phase else ""
        self.abort(code, phase)


class GrpcTransport(WireTransport):
    """This party's end: listens, dials, or both, and communicates with pinned peers alone.

    ``peers`` are the parties of the job; their authorities come from the identity. ``addresses``
    overrides where a peer is dialled. With neither an address nor ``listen`` nothing connects.
    Errors: those of ``Transport``; ATL-NET-006 no such peer, 010 to 029 connections and frames,
    ATL-PTY-009, ATL-PTY-010 the own certificate's period, ATL-PTY-012 a peer that is not trusted.
    """

    def __init__(
        self,
        identity: Identity,
        peers: Sequence[str],
        *,
        listen: str | None = None,
        addresses: Mapping[str, str] | None = None,
        settings: WireSettings | None = None,
    ) -> None:
        identity.check_current()
        pins = [_pin(identity.peer(peer), addresses or {}) for peer in peers]
        super().__init__(
            identity.party,
            peers,
            lambda: WireEndpoint(
                identity.party,
                identity.certificate.decode(),
                identity.key_pem().decode(),
                pins,
                listen,
                **(settings or WireSettings()).limits(),
            ),
        )

    @property
    def address(self) -> str | None:
        """Where this party listens (``host:port``), if it does."""
        return self._endpoint.address()


class GatewayTransport(WireTransport):
    """A worker's end: it reaches its peers through the gateway of its own node.

    ``peers`` maps each party of the job to whether the own gateway can dial it; one that cannot be
    dialled dials this party. ``gateway`` is the gateway's socket, ``socket`` the one on which this
    worker listens for it (at most 100 bytes of path); ``token`` and ``label`` are those of
    ``Gateway.register``. No key enters the worker. Errors: those of ``Transport``; ATL-NET-006
    no such peer, ATL-NET-010 not met within ``connect_seconds`` (the message names the last cause:
    ATL-NET-040 no worker of this label over there, ATL-NET-041 nor here, or with another token,
    ATL-NET-042 no address), 011 to 029 connections and frames.
    """

    def __init__(
        self,
        party: str,
        peers: Mapping[str, bool],
        *,
        gateway: Path,
        socket: Path,
        token: bytes,
        label: str,
        settings: WireSettings | None = None,
    ) -> None:
        super().__init__(
            party,
            list(peers),
            lambda: WireEndpoint.through(
                party,
                list(peers.items()),
                str(gateway),
                str(socket),
                token,
                label,
                **(settings or WireSettings()).limits(),
            ),
        )


def _pin(peer: Peer, addresses: Mapping[str, str]) -> tuple[str, str, str | None]:
    return peer.party, peer.ca.decode(), addresses.get(peer.party, peer.address)


def _tuple(scope: Scope) -> tuple[str, str, int]:
    return scope.job, scope.task, scope.attempt
