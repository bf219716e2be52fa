"""A transport without peers: for tasks that communicate with no one."""

from __future__ import annotations

from collections.abc import Sequence

from atoll.channel.api import Buffer
from atoll.core.errors import UserError
from atoll.core.names import Scope


class NullTransport:
    """See ``channel.api.Transport``; every peer is unknown. Errors: ATL-NET-006."""

    def __init__(self, party: str) -> None:
        self.party = party
        self.peers: tuple[str, ...] = ()

    def send(self, peer: str, scope: Scope, tag: str, body: Buffer, timeout: float) -> None:
        """Refuse."""
        raise UserError("ATL-NET-006", "no such peer", party=peer)

    def receive(self, peer: str, scope: Scope, tag: str, timeout: float) -> Buffer:
        """Refuse."""
        raise UserError("ATL-NET-006", "no such peer", party=peer)

    def receive_any(
        self, peers: Sequence[str], scope: Scope, tag: str, timeout: float
    ) -> tuple[str, Buffer]:
        """Refuse."""
        raise UserError("ATL-NET-006", "no such peer", party=peers[0] if peers else None)

    def abort(self, code: str, phase: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
