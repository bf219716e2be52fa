"""The transport between organisations; see ``channel.api.Transport`` for what it promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from atoll_native import NativeError, WireEndpoint

from atoll.channel.api import Buffer
from atoll.channel.identity import Identity, Peer
from atoll.core.errors import (
    AtollError,
    CancelledError,
    InternalError,
    NetworkError,
    PeerError,
    UserError,
)
from atoll.core.limits import MESSAGE_BYTES
from atoll.core.names import Scope
from atoll.core.settings import Settings

_CLASSES: dict[str, type[AtollError]] = {
    "ATL-NET-001": NetworkError,
    "ATL-NET-002": NetworkError,
    "ATL-NET-003": NetworkError,
    "ATL-NET-004": PeerError,
    "ATL-NET-005": UserError,
    "ATL-NET-006": UserError,
    "ATL-NET-010": NetworkError,
    "ATL-NET-015": NetworkError,
    "ATL-NET-022": CancelledError,
    "ATL-NET-023": CancelledError,
    "ATL-NET-024": UserError,
    "ATL-NET-026": UserError,
    "ATL-NET-027": UserError,
}
_HINTS = {
    "ATL-NET-001": "look whether the peer's process and the network are up",
    "ATL-NET-005": "send it as a stream of messages",
    "ATL-NET-010": "look whether the peer is started and the address is right",
    "ATL-NET-011": "exchange authority certificates again and compare fingerprints",
    "ATL-NET-013": "the peer renews its certificate",
    "ATL-NET-014": "compare the clocks of both machines",
    "ATL-NET-016": "the peer's log says why; was this party's authority pinned there?",
    "ATL-NET-024": "choose another address or port",
}


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

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Take the time limits from the settings of this process."""
        return cls(
            silence_seconds=settings.silence_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
            connect_seconds=settings.connect_seconds,
        )


class GrpcTransport:
    """This party's end: listens, dials, or both, and talks to pinned peers alone.

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
        wanted = settings or WireSettings()
        self.party = identity.party
        self.peers = tuple(peers)
        pins = [_pin(identity.peer(peer), addresses or {}) for peer in self.peers]
        try:
            self._endpoint = WireEndpoint(
                identity.party,
                identity.certificate.decode(),
                identity.key_pem().decode(),
                pins,
                listen,
                silence_s=wanted.silence_seconds,
                heartbeat_s=wanted.heartbeat_seconds,
                connect_s=wanted.connect_seconds,
                handshake_s=wanted.handshake_seconds,
                linger_s=wanted.linger_seconds,
                window_bytes=wanted.window_bytes,
            )
        except NativeError as error:
            raise _translated(error) from None

    @property
    def address(self) -> str | None:
        """Where this party listens (``host:port``), if it does."""
        return self._endpoint.address()

    def send(self, peer: str, scope: Scope, tag: str, body: Buffer, timeout: float) -> None:
        """Copy one message and hand it over; blocks while the peer's window is full."""
        try:
            self._endpoint.send(peer, _tuple(scope), tag, body, timeout)
        except NativeError as error:
            raise _translated(error) from None

    def receive(self, peer: str, scope: Scope, tag: str, timeout: float) -> Buffer:
        """Wait for the next message of this peer, scope and tag."""
        try:
            return self._endpoint.receive(peer, _tuple(scope), tag, timeout)
        except NativeError as error:
            raise _translated(error) from None

    def receive_any(
        self, peers: Sequence[str], scope: Scope, tag: str, timeout: float
    ) -> tuple[str, Buffer]:
        """Wait for the next message of any of these peers; return who sent it."""
        try:
            return self._endpoint.receive_any(list(peers), _tuple(scope), tag, timeout)
        except NativeError as error:
            raise _translated(error) from None

    def counters(self) -> dict[str, dict[str, int]]:
        """Return counts by peer (messages, bytes, frames, connections); those of the stream
        include TLS's payload. Under ``""``: how often something was refused here, by code.
        """
        return self._endpoint.counters()

    def cancel(self) -> None:
        """End every waiting call, and those to come, with ATL-NET-023."""
        self._endpoint.cancel()

    def abort(self, code: str, phase: str) -> None:
        """Tell every peer that this party failed: code and phase only, then close."""
        self._endpoint.abort(code, phase)

    def close(self) -> None:
        """Say goodbye once everything is delivered, and free every resource."""
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


def _pin(peer: Peer, addresses: Mapping[str, str]) -> tuple[str, str, str | None]:
    return peer.party, peer.ca.decode(), addresses.get(peer.party, peer.address)


def _tuple(scope: Scope) -> tuple[str, str, int]:
    return scope.job, scope.task, scope.attempt


def _translated(error: NativeError) -> AtollError:
    code = error.code
    peer: str | None = getattr(error, "peer", None)
    phase: str | None = getattr(error, "peer_phase", None)
    kind = _CLASSES.get(code, PeerError if code.startswith("ATL-NET-") else InternalError)
    text = f"peer lost: {error}" if code == "ATL-NET-001" else str(error)
    return kind(code, text, party=peer, phase=phase, hint=_HINTS.get(code))
