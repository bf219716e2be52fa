"""A node's one port towards its partners: control calls, workers' streams, enrolment.

The gateway forwards the streams of registered workers as they are: the workers at both ends speak
``channel.api.Transport`` with each other, and the slower one holds the other back.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import atoll_native
from atoll_native import NativeError

from atoll.channel.api import Buffer
from atoll.channel.grpc.failures import translated
from atoll.channel.identity import Identity, Newest

TOKEN_BYTES = 32


@dataclass(frozen=True)
class GatewaySettings:
    """Time limits in seconds; the defaults suit two organisations.

    A call that no one answers within ``answer_seconds`` (or the caller's time, if shorter) is
    refused with ATL-NET-045.
    """

    handshake_seconds: float = 10.0
    answer_seconds: float = 120.0


@dataclass(frozen=True)
class Call:
    """A call that waits for its answer.

    ``party`` is from the caller's certificate; it is empty, and ``kind`` is ``enrol``, for someone
    who wants to become a partner and whom nothing vouches for but what the body holds.
    """

    number: int
    party: str
    kind: str
    body: Buffer


def new_token() -> bytes:
    """Return what a worker shows its own gateway: 32 secret bytes of the operating system."""
    return secrets.token_bytes(TOKEN_BYTES)


class Gateway:
    """The gateway of one node. All methods may be called from any thread.

    It pins what ``identity.peers`` holds, listens for partners on ``listen`` (``host:port``, port 0
    for any; None: only dials) and for its own workers on ``socket`` (at most 100 bytes of path,
    readable by this user alone). Errors: ATL-NET-024 an address that cannot be listened on,
    ATL-NET-026 certificates that cannot be used, ATL-PTY-009, ATL-PTY-010 the own certificate's
    period.
    """

    def __init__(
        self,
        identity: Identity,
        socket: Path,
        *,
        listen: str | None = None,
        settings: GatewaySettings | None = None,
    ) -> None:
        identity.check_current()
        wanted = settings or GatewaySettings()
        self.party = identity.party
        # Called with a partner and its certificate when that is newer than those known before.
        self.noticed: Callable[[str, Newest], None] = lambda party, newest: None
        with _translation():
            self._native = atoll_native.WireGateway(
                identity.party,
                identity.certificate.decode(),
                identity.key_pem().decode(),
                listen,
                str(socket),
                authority_pem=identity.ca.decode(),
                handshake_s=wanted.handshake_seconds,
                answer_s=wanted.answer_seconds,
            )
        try:
            for peer in identity.peers.values():
                self.set_peer(peer.party, peer.ca, peer.address, peer.newest)
        except BaseException:
            self._native.close()
            raise

    @property
    def address(self) -> str | None:
        """Where partners reach this node (``host:port``), if it listens."""
        return self._native.address()

    def set_peer(
        self, party: str, ca: bytes, address: str | None = None, newest: Newest | None = None
    ) -> None:
        """Pin a partner's authority (PEM), or change its address.

        Another authority than before ends the connections that the former one vouched for. A key
        that is older than ``newest``, or than what the partner shows, is refused from then on.
        Errors: ATL-NET-026 what cannot be pinned.
        """
        with _translation():
            seen = None if newest is None else (newest.issued, bytes.fromhex(newest.key))
            self._native.set_peer(party, ca.decode(), address, seen)

    def remove_peer(self, party: str) -> None:
        """Withdraw the trust in a partner: its connections end at once."""
        with _translation():
            self._native.remove_peer(party)

    def renew(self, certificate: bytes, key: bytes) -> None:
        """Take another certificate chain and key (PEM, both) for new connections.

        Those that began with another key end at once; with the same key, with their certificate.
        Errors: ATL-NET-026 what does not fit together or to this party.
        """
        with _translation():
            self._native.renew(certificate.decode(), key.decode())

    def set_enrolment(self, is_open: bool) -> None:
        """Return whether strangers may enrol; at first they may not.

        While it is open a stranger gets this party's certificates and may hand in one request at a
        time, which ``next_call`` gives out.
        """
        with _translation():
            self._native.set_enrolment(is_open)

    def register(self, label: str, token: bytes, socket: Path, peers: Sequence[str]) -> None:
        """Let a worker with this token, listening on ``socket``, exchange streams with these peers.

        The label names the conversation on both sides. Errors: ATL-NET-027 a label that is in use
        or longer than 128 bytes, or a token that is not 32 bytes long.
        """
        with _translation():
            self._native.register(label, token, str(socket), list(peers))

    def unregister(self, label: str) -> dict[str, dict[str, int]]:
        """Forget a worker and end its streams; return what it moved, by peer (see ``counters``)."""
        with _translation():
            return self._native.unregister(label)

    def call(self, peer: str, kind: str, body: Buffer, timeout: float) -> Buffer:
        """Ask a partner and wait for its answer, at most ``timeout`` seconds.

        ``kind`` has at most 64 characters, ``body`` and answer at most 16 MiB. Errors: ATL-NET-006
        no such peer, ATL-NET-042 it has no address, ATL-NET-010 unreachable, ATL-NET-011 to
        ATL-NET-016 certificates, ATL-NET-002 the time is over, ATL-NET-043
        (``CallRefusedError``) it refused: ``peer_code`` states why, ATL-NET-046 the connection
        broke, so that no one here knows whether the peer acted, ATL-NET-005 too large.
        """
        with _translation():
            return self._native.call(peer, kind, body, timeout)

    def next_call(self, timeout: float) -> Call | None:
        """Wait for the next call of a partner; None if there is none within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            with _translation():
                found = self._native.next_call(max(deadline - time.monotonic(), 0.0))
            if found is None:
                return None
            number, party, _, body = found
            if number:
                return Call(*found)
            issued = int.from_bytes(body[:8], "big")
            self.noticed(party, Newest(issued, bytes(body[8:]).hex()))

    def answer(self, call: Call, body: Buffer) -> bool:
        """Answer a call; False if its caller waits no more. Errors: ATL-NET-005 too large."""
        with _translation():
            return self._native.answer(call.number, body)

    def refuse(self, call: Call, code: str) -> bool:
        """Refuse a call with a code and nothing else; False if its caller waits no more."""
        with _translation():
            return self._native.refuse(call.number, code)

    def counters(self) -> dict[str, Any]:
        """Return ``peers`` (by party: calls, bytes, relays now and in all), ``labels`` (by label
        and party: bytes and relays) and ``refused`` (by code, what was refused here).
        """
        return self._native.counters()

    def close(self) -> None:
        """End every connection and free everything, within seconds; may be called again."""
        with _translation():
            self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def enrol(address: str, party: str, authority: bytes, body: Buffer, timeout: float) -> Buffer:
    """Ask the node of ``party`` to become its partner; return its answer.

    ``authority`` is the SHA-256 of that party's authority certificate (DER), known from an
    invitation; it is checked before anything is sent. Body and answer: at most 16 KiB. Errors:
    ATL-NET-047 another authority, ATL-NET-010 unreachable, ATL-NET-012 to ATL-NET-015 certificates,
    ATL-NET-002 the time is over, ATL-NET-043 (``CallRefusedError``) refused, ATL-NET-005 too large.
    """
    with _translation():
        return atoll_native.WireGateway.enrol(address, party, authority, body, timeout)


@contextmanager
def _translation() -> Iterator[None]:
    try:
        yield
    except NativeError as error:
        raise translated(error) from None
