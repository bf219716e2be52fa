"""Training between parties under faults: at each message of a client, whatever happens to it.

The end is that of a training without the fault, that of one without the client, or an error with a
code; never other weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.faulty import Fault, Kind
from atoll.channel.party import Party
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.learning.horizontal.parties import aggregator
from atoll.learning.horizontal.parties.client import Client
from atoll.learning.horizontal.parties.messages import Change
from tests.dishonest.lying import Lie, speaking
from tests.learning.horizontal.test_parties import CLIENTS, DATA, ROLES, SEED, run, weights, work

VICTIM = "c2"
SUMS = ("plain", "masked")
NEVER = Fault("kill", 1 << 30)


@cache
def undisturbed(sum_: str) -> tuple[np.ndarray, int]:
    """Return the weights of two rounds, and how many messages the victim passes in them."""
    done = run(work(sum_, rounds=2), faults={VICTIM: [NEVER]}).check()
    passed: int = done.transports[VICTIM].passed  # type: ignore[attr-defined]
    return weights(done), passed


def faulty(sum_: str, kind: Kind, step: int = 1) -> Iterable[world.World]:
    """Yield the trainings in which this happens to one message of the victim, each in turn."""
    for at in range(0, undisturbed(sum_)[1], step):
        yield run(work(sum_, rounds=2), faults={VICTIM: [Fault(kind, at)]})


def codes(done: world.World) -> set[str]:
    return {getattr(error, "code", repr(error)) for error in done.errors.values()}


@pytest.mark.parametrize("sum_", SUMS)
def test_a_client_that_dies_at_any_message_is_left_behind(sum_: str) -> None:
    whole, left = undisturbed(sum_)[0], list[bool]()
    for done in faulty(sum_, "kill"):
        found = weights(done)
        assert set(done.errors) <= {VICTIM}
        assert set(done.results["hub"].left) <= {VICTIM}
        for name in CLIENTS:
            assert name == VICTIM or np.array_equal(done.results[name], found)
        left.append(not np.array_equal(found, whole))
    # One that died after its last update changed nothing any more; one that died before did.
    assert left[0]
    assert not left[-1]


@pytest.mark.parametrize("sum_", SUMS)
@pytest.mark.parametrize("kind", ["duplicate", "reorder", "delay"])
def test_late_and_repeated_messages_change_nothing(sum_: str, kind: Kind) -> None:
    whole, same = undisturbed(sum_)[0], 0
    for done in faulty(sum_, kind, step=3):
        if "hub" in done.results and not done.results["hub"].left:
            assert not done.errors
            assert np.array_equal(weights(done), whole)
            same += 1
        else:
            # What was held back came after its time, or what another waited for did.
            assert kind != "duplicate"
            assert "ATL-NET-002" in codes(done)
    assert same


@pytest.mark.parametrize("sum_", SUMS)
def test_a_cut_message_is_an_error_with_a_code(sum_: str) -> None:
    whole, refused = undisturbed(sum_)[0], 0
    for done in faulty(sum_, "truncate", step=3):
        if "hub" in done.results:
            # It was one that the victim received, which is not cut.
            assert np.array_equal(weights(done), whole)
        else:
            assert "ATL-COD-001" in codes(done)
            refused += 1
    assert refused


def played(lie: Lie) -> world.World:
    """Play two rounds of plain sums in which the victim lies in what it sends."""
    of = work("plain", rounds=2)

    def entry(party: Party) -> Any:
        if party.role == Role.AGGREGATOR:
            return aggregator.run(party, of)
        own = speaking(party, lie) if party.name == VICTIM else party
        return Client(own, of, DATA[party.name], DATA[party.name]).run()

    return world.run(
        ROLES, entry, seed=SEED, reachable=lambda name: CLIENTS if name == "hub" else ("hub",)
    )


def test_an_update_of_an_earlier_round_is_not_taken_for_a_later_one() -> None:
    """The lie: what was sent in the first round is sent again after it, under the same tag."""
    sent: list[Message] = []

    def twice(tag: str, message: Message) -> Iterable[Message]:
        sent.append(message)
        return [message, message] if tag.startswith("train-0") else [message]

    done = played(twice)
    assert any(isinstance(message, Change) for message in sent)
    assert not done.errors
    assert np.array_equal(weights(done), undisturbed("plain")[0])
