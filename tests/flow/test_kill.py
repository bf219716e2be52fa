"""Either party dies at any message: the other ends in time, with a code, a party and a phase."""

from __future__ import annotations

from pathlib import Path

import pytest

from atoll.channel.faulty import Fault, FaultyTransport, Killed
from atoll.core.errors import AtollError
from atoll.flow.ledger import Ledger
from tests.flow import toy

OTHER = {"bank": "shop", "shop": "bank"}


def messages(tmp_path: Path, victim: str) -> int:
    """Count the messages that a party passes in a whole job."""
    far = {victim: [Fault("kill", 10**9)]}
    world = toy.play(tmp_path / "whole", faults=far).check()
    transport = world.transports[victim]
    assert isinstance(transport, FaultyTransport)
    return transport.passed


@pytest.mark.parametrize("victim", sorted(toy.PARTIES))
def test_a_party_that_dies_at_any_message_is_reported_lost(tmp_path: Path, victim: str) -> None:
    survivor = OTHER[victim]
    count = messages(tmp_path, victim)
    assert count > 15
    for at in range(count):
        folder = tmp_path / str(at)
        world = toy.play(folder, faults={victim: [Fault("kill", at)]})
        assert isinstance(world.errors[victim], Killed)
        assert not list((folder / victim).glob("runs/*")), f"message {at}"
        if at == count - 1:
            # The victim had said that it was done: the survivor may publish what it has.
            assert survivor in world.results
            continue
        error = world.errors[survivor]
        assert isinstance(error, AtollError), f"message {at}: {error!r}"
        assert (error.code, error.party) == ("ATL-NET-001", victim), f"message {at}"
        assert error.phase, f"message {at}"
        assert error.exit_code == 6
        assert not list((folder / survivor).glob("runs/*")), f"message {at}"
        list(Ledger(folder / survivor).entries())


@pytest.mark.parametrize("kind", ["truncate", "corrupt", "drop"])
def test_damaged_or_lost_messages_end_both_with_a_code(tmp_path: Path, kind: str) -> None:
    for at in range(messages(tmp_path, "shop")):
        world = toy.play(tmp_path / str(at), faults={"shop": [Fault(kind, at)]})  # type: ignore[arg-type]
        for error in world.errors.values():
            assert isinstance(error, AtollError), f"message {at}: {error!r}"
            assert error.code != "ATL-INT-001", f"message {at}: {error}"
