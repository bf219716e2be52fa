"""What the native wire refuses, as errors of the tree."""

from __future__ import annotations

from atoll_native import NativeError

from atoll.core.errors import (
    AtollError,
    CancelledError,
    InternalError,
    NetworkError,
    PeerError,
    UserError,
)

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
    "ATL-NET-040": NetworkError,
    "ATL-NET-041": UserError,
    "ATL-NET-042": UserError,
    "ATL-NET-046": NetworkError,
}
_HINTS = {
    "ATL-NET-001": "look whether the peer's process and the network are up",
    "ATL-NET-005": "send it as a stream of messages",
    "ATL-NET-010": "look whether the peer is started and the address is right",
    "ATL-NET-011": "exchange authority certificates again and compare fingerprints",
    "ATL-NET-013": "the peer renews its certificate",
    "ATL-NET-049": "the peer's node has a newer key; restart what still uses the old one",
    "ATL-NET-014": "compare the clocks of both machines",
    "ATL-NET-016": "there atoll status counts refusals by code; is this authority pinned?",
    "ATL-NET-024": "choose another address, port or socket",
    "ATL-NET-042": "wait for the peer to ask, or record its address",
    "ATL-NET-046": "ask the peer what became of it before asking again",
    "ATL-NET-047": "compare the fingerprint of the code with the one that the inviter sees",
}


class CallRefusedError(PeerError):
    """The peer refused a call; ``peer_code`` is the code that it sent."""

    def __init__(self, code: str, message: str, *, peer_code: str, party: str | None) -> None:
        hint = f"{peer_code} has a page; its own people see more in their node's log"
        super().__init__(code, message, party=party, hint=hint)
        self.peer_code = peer_code


def translated(error: NativeError) -> AtollError:
    """Return the error of the tree that stands for what the native wire raised."""
    code = error.code
    peer: str | None = getattr(error, "peer", None)
    phase: str | None = getattr(error, "peer_phase", None)
    if code == "ATL-NET-043":
        peer_code = str(getattr(error, "peer_code", None) or code)
        return CallRefusedError(code, str(error), peer_code=peer_code, party=peer)
    kind = _CLASSES.get(code, PeerError if code.startswith("ATL-NET-") else InternalError)
    text = f"peer lost: {error}" if code == "ATL-NET-001" else str(error)
    return kind(code, text, party=peer, phase=phase, hint=_HINTS.get(code))
