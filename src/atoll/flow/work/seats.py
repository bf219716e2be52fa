"""The seats of one party in a step: one as a rule; several share its process and connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from atoll.channel.api import Buffer, Transport
from atoll.channel.memory import MemoryNetwork, MemoryTransport
from atoll.components.api import Result
from atoll.core.errors import AtollError, InternalError, NetworkError
from atoll.core.names import Role, Scope, party_of

T = TypeVar("T")
_POLL_SECONDS = 0.01


class SeatTransport:
    """One seat's end; its peers are seats. See ``channel.api.Transport``.

    What seats of one party send each other stays in the process. Between parties the tag names the
    two roles where one of the seats is not its party's first, so that no seat takes what was meant
    for another. Errors: those of the party's transport.
    """

    def __init__(
        self,
        party: Transport,
        inside: MemoryTransport,
        address: str,
        roles: Mapping[str, Role],
        peers: Sequence[str],
    ) -> None:
        self.party = address
        self.peers = tuple(peers)
        self._outside = party
        self._inside = inside
        self._roles = roles

    def send(self, peer: str, scope: Scope, tag: str, body: Buffer, timeout: float) -> None:
        """Hand over one message."""
        if party_of(peer) == party_of(self.party):
            self._inside.send(peer, scope, tag, body, timeout)
        else:
            named = self._tag(self.party, peer, tag)
            self._outside.send(party_of(peer), scope, named, body, timeout)

    def receive(self, peer: str, scope: Scope, tag: str, timeout: float) -> Buffer:
        """Wait for the next message of this seat, scope and tag."""
        if party_of(peer) == party_of(self.party):
            return self._inside.receive(peer, scope, tag, timeout)
        return self._outside.receive(
            party_of(peer), scope, self._tag(peer, self.party, tag), timeout
        )

    def receive_any(
        self, peers: Sequence[str], scope: Scope, tag: str, timeout: float
    ) -> tuple[str, Buffer]:
        """Wait for the next message of any of these seats; return who sent it."""
        until = time.monotonic() + timeout
        while True:
            # They come by several ways, so that no single wait gets all of them.
            for peer in peers:
                try:
                    return peer, self.receive(peer, scope, tag, min(_POLL_SECONDS, timeout))
                except NetworkError as error:
                    if error.code != "ATL-NET-002" or time.monotonic() >= until:
                        raise

    def _tag(self, sender: str, receiver: str, tag: str) -> str:
        if ":" not in sender + receiver:
            return tag
        return f"{self._roles[sender].value}>{self._roles[receiver].value}/{tag}"

    def lanes(self, count: int) -> Callable[[], None]:
        """Count threads for a transport in virtual time (see ``MemoryTransport.lanes``)."""
        found = getattr(self._outside, "lanes", None)
        ended: Callable[[], None] = found(count) if found is not None else lambda: None
        return ended

    def abort(self, code: str, phase: str) -> None:
        """Notify the party's other seats that this one failed; the party notifies its peers."""
        self._inside.abort(code, phase)

    def close(self) -> None:
        """Close the session with the party's other seats."""
        self._inside.close()


def transports(
    party: Transport,
    mine: Sequence[str],
    roles: Mapping[str, Role],
    peers: Callable[[str], Sequence[str]],
) -> dict[str, Transport]:
    """Return the end of each of a party's seats (``mine``) in a step with these ``roles``."""
    if not any(":" in address for address in roles):
        return dict.fromkeys(mine, party)
    network = MemoryNetwork(tuple(mine))
    return {
        address: SeatTransport(party, network.transport(address), address, roles, peers(address))
        for address in mine
    }


def each(ends: Mapping[str, Transport], work: Callable[[str], T]) -> dict[str, T]:
    """Do the work of each seat, all at once; return the results. Errors: the first cause."""
    first = next(iter(ends.values()))
    if not isinstance(first, SeatTransport) or len(ends) == 1:
        return {address: work(address) for address in ends}
    ended = first.lanes(len(ends))

    def guarded(address: str) -> T:
        try:
            return work(address)
        except Exception as error:
            known = error if isinstance(error, AtollError) else None
            ends[address].abort(
                known.public if known else "ATL-INT-001", (known and known.phase) or ""
            )
            raise
        finally:
            ended()

    with ThreadPoolExecutor(max_workers=len(ends)) as pool:
        waiting = {address: pool.submit(guarded, address) for address in ends}
    errors = [error for future in waiting.values() if (error := future.exception()) is not None]
    if errors:
        raise min(errors, key=_is_consequence)
    return {address: future.result() for address, future in waiting.items()}


def _is_consequence(error: BaseException) -> bool:
    return isinstance(error, AtollError) and error.code == "ATL-NET-004"


def joined(results: Mapping[str, Result]) -> Result:
    """Return what a party's seats left together. Errors: ATL-INT-001 two left the same output."""
    if len(results) == 1:
        return next(iter(results.values()))
    outputs = _union(result.outputs for result in results.values())
    files = _union(result.files for result in results.values())
    reports = [result.report for result in results.values() if result.report is not None]
    report = reports[0] if reports else None
    if report is not None and len(reports) > 1:
        panels = tuple(panel for found in reports for panel in found.panels)
        report = report.model_copy(update={"panels": panels})
    return Result(outputs, files, report)


def _union(parts: Iterable[Mapping[str, T]]) -> dict[str, T]:
    found: dict[str, T] = {}
    for part in parts:
        for name, value in part.items():
            if value is None:
                continue
            if name in found:
                text = f"two seats of this party left {name!r}"
                raise InternalError("ATL-INT-001", text)
            found[name] = value
    return found
