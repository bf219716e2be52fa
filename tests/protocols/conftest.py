"""What the conformance tests share: pairs of parties, liars, and the comparison of declarations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import pytest

from atoll.channel.party import Party
from atoll.channel.world import World
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.core.reveal import Reveal, Values
from atoll.operators.cost import HEADER_BYTES, Cost
from tests.dishonest.lying import Lie, speaking


@dataclass(frozen=True)
class Conformance:
    """Comparisons of what was declared with what was sent, between ``bank`` and ``shop``."""

    roles: dict[str, Role] = field(default_factory=lambda: {"bank": Role.GUEST, "shop": Role.HOST})

    def lying(self, party: Party, lie: Lie) -> Party:
        """Return the party with a channel that lies."""
        return speaking(party, lie)

    def instead(self, kind: type[Message], change: Callable[[Any], Iterable[Message]]) -> Lie:
        """Return the lie that changes every message of one class."""
        return lambda tag, message: change(message) if isinstance(message, kind) else [message]

    def check_reveals(
        self,
        world: World,
        declared: Sequence[Reveal],
        values: Values,
        roles: Mapping[str, Role] | None = None,
    ) -> None:
        """Hold the declared reveals against what the channels counted, exactly."""
        seats = self.roles if roles is None else roles
        sent = {
            (str(seats[sender]), str(seats[receiver]), kind, name): count
            for channel in world.channels.values()
            for (sender, receiver, kind, name), count in channel.disclosures.counts.items()
            if count
        }
        expected = {
            (reveal.sender, reveal.receiver, reveal.message, reveal.field): reveal.count(values)
            for reveal in declared
        }
        assert sent == {key: count for key, count in expected.items() if count}

    def check_cost(
        self,
        world: World,
        cost: Cost,
        values: Values | Callable[[str, str], Values],
        roles: Mapping[str, Role] | None = None,
    ) -> None:
        """Hold the declared cost against the counters, edge by edge and at both its ends.

        ``values`` are the same for all pairs, or those of (sender, receiver).
        """
        seats = self.roles if roles is None else roles
        for sender, receiver in permutations(seats, 2):
            sizes = values(sender, receiver) if callable(values) else values
            size, messages = cost.sent(seats[sender], seats[receiver], sizes)
            sent = world.channels[sender].counters.total(peer=receiver)
            received = world.channels[receiver].counters.total(peer=sender)
            assert sent.messages_sent == received.messages_received == messages
            assert sent.bytes_sent == received.bytes_received
            assert 0 <= sent.bytes_sent - size <= HEADER_BYTES * messages
            if seats[sender] == Role.GUEST:
                assert sent.rounds == cost.waits(sizes)

    def code(self, world: World, party: str) -> str:
        """Return the code with which a party ended, or an empty text."""
        return str(getattr(world.errors.get(party), "code", ""))

    def check_refused(self, world: World, code: str, *, by: str = "bank") -> None:
        """Demand that one party refused with a code and that every party ended."""
        assert self.code(world, by) == code
        assert set(world.results) | set(world.errors) == set(world.channels)
        for name, error in world.errors.items():
            assert name == by or getattr(error, "code", "") in ("ATL-NET-004", code), error

    def check_refused_by_both(self, world: World, code: str) -> None:
        """Demand that both refused; the slower may hear of the other's refusal first."""
        codes = sorted(self.code(world, name) for name in world.channels)
        assert not world.results
        assert codes in ([code, code], sorted([code, "ATL-NET-004"]))


@pytest.fixture
def conformance() -> Conformance:
    """The comparisons of the conformance suite."""
    return Conformance()
