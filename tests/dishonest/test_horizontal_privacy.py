"""Parties that lie where training has differential privacy: whose noise is left, and how often."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.core.names import Role
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.algorithms.dpsgd import clipped_sum
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.parties.aggregator import PartyClients
from atoll.learning.horizontal.parties.client import Client, Work
from atoll.learning.horizontal.postprocess.api import Passage
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.sums import Update
from tests.dishonest.test_horizontal import Once, codes
from tests.learning.horizontal.test_privacy import CLIENTS, DATA, ROLES, work


def play(
    of: Work,
    shift: float = 0.0,
    *,
    without: tuple[str, ...] = (),
    kept: dict[str, Once] | None = None,
    seed: int = 4,
    decode: bool = False,
) -> world.World:
    """Ask for round 0 at some weights; clients in ``without`` leave their noise out.

    With ``decode`` the aggregator looks at the sum before noise of its own.
    """
    bare = dataclasses.replace(of, chain=Chain(of.chain.links[-1:]))

    def entry(party: Party) -> Any:
        if kept is not None:
            party = dataclasses.replace(party, checkpoints=kept[party.name], step_id=b"s" * 32)
        if party.role == Role.AGGREGATOR:
            clients = PartyClients(party, bare if decode else of)
            total = clients.ask_for(0, {"weights": start(of, shift)}, train=True).total
            return None if total is None else total.vectors["gradient"]
        own = bare if party.name in without else of
        return Client(party, own, DATA[party.name], DATA[party.name]).run()

    return world.run(
        ROLES,
        entry,
        seed=seed,
        reachable=lambda name: CLIENTS if name == "hub" else ("hub",),
    )


def start(of: Work, shift: float = 0.0) -> Vector:
    return of.model.initial(np.random.default_rng(0)) + np.float32(shift)


def parties() -> dict[str, Party]:
    """Return the clients as they begin a step."""
    return world.run(ROLES, lambda party: party, seed=4).check().results


def truth(of: Work) -> Vector:
    """Return the sum of all clients without noise, in gradients."""
    weights, noise = start(of).astype(np.float64), of.private.noise  # type: ignore[union-attr]
    sums = [
        clipped_sum(of.model, weights, rows, noise.norm, noise.places) for rows in DATA.values()
    ]
    whole: Vector = np.sum(sums, axis=0) * 2.0**-noise.places
    return whole


@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_the_page_states_of_clients_that_leave_out_their_noise(count: int) -> None:
    """One is not counted on (``colluding``), so that what is left is all that was stated."""
    of = work()
    found = [
        play(of, without=CLIENTS[:count], seed=seed, decode=True).results["hub"] - truth(of)
        for seed in range(8)
    ]
    assert of.private is not None
    stated = of.private.noise.multiplier * of.private.noise.norm
    assert np.std(found) == pytest.approx(stated * math.sqrt((4 - count) / 3), rel=0.12)


def test_what_the_page_states_of_a_trusted_aggregator() -> None:
    of = work({"noise": "central"})
    assert np.array_equal(play(of, decode=True).results["hub"], truth(of))
    assert not np.array_equal(play(of).results["hub"], truth(of))


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_sum_that_a_client_wraps_around_the_ring_shows_no_sign_of_the_others(beyond: int) -> None:
    """The lie: a ring element that turns the sum's sign where the others have ``t`` or more."""
    of = work({"noise": "central"})
    mask = of.chain.links[-1]
    assert isinstance(mask, Mask)
    updates = [
        Client(party, of, DATA[name], DATA[name]).update(0, True, {"weights": start(of)})
        for name, party in parties().items()
        if name in CLIENTS[1:]
    ]
    others = np.sum([update.vectors["gradient"] for update in updates], axis=0)
    kind = mask.form().signed
    half = np.int64(1) << (mask.ring - 1)
    own = (half - (others.astype(np.int64) + beyond)).astype(kind)
    numbers = {
        name: np.sum([update.vectors[name] for update in updates], axis=0).astype(kind)
        for name in updates[0].vectors
        if name != "gradient"
    }
    total = Update({"gradient": others.astype(kind) + own, **numbers}, {})
    passage = Passage({}, np.random.default_rng(0), secret=SecretRandom.seeded(b"central"))
    read = of.chain.aggregate(total, of.model.layout.size, passage).vectors["gradient"]
    # Noise alone decides: of 65 values far from none and far from all.
    assert 16 < (read < 0).sum() < len(read) - 16


@pytest.mark.parametrize("noise", ["distributed", "local", "central"])
def test_a_round_that_is_asked_for_again_shows_nothing_new(noise: str) -> None:
    """The lie: a step is broken off and begun again, for other noise, or for other weights."""
    of = work({"noise": noise}, sum="plain" if noise == "local" else "masked")
    kept = {name: Once() for name in ROLES}
    first = play(of, kept=kept)
    again, other = play(of, kept=kept, seed=9), play(of, 1e-6, kept=kept)
    assert np.array_equal(first.results["hub"], again.results["hub"])
    assert "hub" not in other.results
    assert {"ATL-HOR-141", "ATL-SUM-023"} & set(codes(other).values())
