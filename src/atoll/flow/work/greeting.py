"""How the seats of a step meet and part: what they run, who is there, the session, a last word.

Where all communicate with all, each greets each. Elsewhere all meet at the hub, a seat that
communicates with every other: it receives each greeting, and sends all the roster. Every seat finds
its own fresh nonce among those that make the session, so that no party can bring it into an earlier
one; a hub that sends different seats different rosters makes sessions that do not meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from atoll.channel.party import Party
from atoll.core.errors import PeerError
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.flow.work.messages import Finished, Hello, Roster, RoundMark
from atoll.flow.work.seat_keys import Vouched

PHASE = "hello"


@dataclass(frozen=True)
class Meeting:
    """A seat among those of its step: ``hub`` as ``Edges.hub``, ``quorum`` the least by role."""

    party: Party
    hub: str | None
    quorum: Mapping[Role, int]

    @property
    def receivers(self) -> tuple[str, ...]:
        """Whom this seat meets: every peer, or the hub alone."""
        if self.hub is None or self.hub == self.party.name:
            return self.party.peers
        return (self.hub,)

    def receive(
        self, tag: str, kind: type[Message], deadline: float | None = None
    ) -> dict[str, Message]:
        """Wait for a message of each peer; as many of each role must come as must stay."""
        found: dict[str, Message] = {}
        by_role: dict[Role, list[str]] = {}
        for peer in self.receivers:
            by_role.setdefault(self.party.roles[peer], []).append(peer)
        for role, senders in by_role.items():
            least = self.quorum.get(role) if self.hub == self.party.name else None
            found |= self.party.gather(senders, tag, kind, least=least, deadline=deadline)
        return found

    def send(self, tag: str, message: Message, receivers: Iterable[str]) -> None:
        """Send the same to each; those that left are passed over where not all must stay."""
        for receiver in receivers:
            spare = self.party.roles[receiver] in self.quorum
            self.party.try_send(receiver, tag, message, spare=spare)


class Met(NamedTuple):
    """Of every seat that is there its nonce and, in a star, its key, which is not checked yet;
    and the checkpoint that they go on at, if any.
    """

    nonces: dict[str, bytes]
    begin: RoundMark | None
    vouched: dict[str, Vouched]


def greet(meeting: Meeting, mine: Hello, connect_seconds: float) -> Met:
    """Agree on what is run, who is there, and where to begin.

    Errors: ATL-WRK-007 the peers run something else, ATL-NET-048 too few are there.
    """
    party, hub = meeting.party, meeting.hub
    nonces, vouched = {party.name: mine.nonce}, {party.name: mine.vouched}
    held = mine.held
    meeting.send("hello", mine, meeting.receivers)
    for peer, answer in meeting.receive("hello", Hello, connect_seconds).items():
        if isinstance(answer, Hello):
            _check(mine, answer, peer)
            nonces[peer], vouched[peer] = answer.nonce, answer.vouched
            held &= answer.held
    begin = max(held, default=None)
    if hub is None:
        return Met(nonces, begin, {})
    if hub == party.name:
        roster = _roster(nonces, vouched, begin)
        meeting.send("roster", roster, (seat for seat in roster.seats if seat != hub))
        return Met(nonces, begin, vouched)
    roster = party.channel.receive(hub, "roster", Roster)
    begin = RoundMark(roster.begin, roster.mark) if roster.begin else None
    if begin is not None and begin not in mine.held:
        raise _false(hub, "a checkpoint that this seat does not hold")
    agreed = _agreed(meeting, roster, nonces)
    keys = zip(roster.keys, roster.signers, roster.signatures, strict=True)
    return Met(agreed, begin, dict(zip(roster.seats, map(Vouched._make, keys), strict=True)))


def _roster(
    nonces: Mapping[str, bytes], vouched: Mapping[str, Vouched], begin: RoundMark | None
) -> Roster:
    seats = tuple(sorted(nonces))
    at = begin or RoundMark(0, b"")
    keys, signers, signatures = zip(*(vouched[seat] for seat in seats), strict=True)
    return Roster(
        seats, tuple(nonces[seat] for seat in seats), at.round, at.mark, keys, signers, signatures
    )


def _check(mine: Hello, answer: Hello, peer: str) -> None:
    parts = mine.differing(answer)
    if parts:
        raise PeerError(
            "ATL-WRK-007",
            f"the parties are about to run different things: {', '.join(parts)}",
            party=peer,
            phase=PHASE,
            place=parts[0],
            hint="compare the installed versions of both parties",
        )


def _agreed(meeting: Meeting, roster: Roster, nonces: Mapping[str, bytes]) -> dict[str, bytes]:
    """Take the roster of the hub over, if it holds what this seat received itself."""
    party, hub = meeting.party, meeting.hub
    lists = (roster.nonces, roster.keys, roster.signers, roster.signatures)
    ordered = list(roster.seats) == sorted(set(roster.seats))
    if not ordered or any(len(found) != len(roster.seats) for found in lists):
        raise _false(hub, "it is malformed")
    answer = dict(zip(roster.seats, roster.nonces, strict=True))
    if any(answer.get(seat) != nonce for seat, nonce in nonces.items()):
        raise _false(hub, "another nonce than was sent")
    missing = party.roles.keys() - answer.keys()
    if answer.keys() - party.roles.keys():
        raise _false(hub, "a seat that is not in the plan")
    for role in {party.roles[seat] for seat in missing}:
        left = sum(held == role and seat in answer for seat, held in party.roles.items())
        if role not in meeting.quorum or left < meeting.quorum[role]:
            raise _false(hub, "too few seats are there")
    return answer


def _false(hub: str | None, reason: str) -> PeerError:
    return PeerError(
        "ATL-WRK-007", f"the roster of the step does not hold: {reason}", party=hub, phase=PHASE
    )


def part(meeting: Meeting, plan: str) -> None:
    """Send each peer that this seat is done, and receive the same of it. Errors: ATL-PLN-001."""
    meeting.send("finished", Finished(plan), meeting.receivers)
    for peer, answer in meeting.receive("finished", Finished).items():
        if not isinstance(answer, Finished) or answer.plan != plan:
            raise PeerError("ATL-PLN-001", "the peer ended another plan", party=peer)
