"""A fixed seed repeats the model and the order of cuts, and nothing else that is secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.core.random import PublicRandom
from atoll.learning.vertical.boosting import BoostingInputs, BoostingParameters, train
from atoll.learning.vertical.boosting.sampling import tree_seed
from atoll.models.boosting import GuestPart
from tests.learning.vertical import play

FIXED = PublicRandom(b"f" * 32, fixed=True)
TOSSED = PublicRandom(b"f" * 32)
SMALL: dict[str, Any] = {"trees": 4, "bins": 8, "minimum_rows": 5, "minimum_leaf_rows": 5}


def tied(hosts: int, rows: int = 160) -> dict[str, BoostingInputs]:
    """Return inputs full of equal gains: few values, and the same columns over and over."""
    rng = np.random.default_rng(11)
    x = rng.integers(0, 4, size=(rows, 2)).astype(np.float64)
    weak = rng.integers(0, 2, size=(rows, 1)).astype(np.float64)
    y = (x[:, 0] + x[:, 1] + rng.normal(size=rows) > 3).astype(np.float64)
    found = {"bank": BoostingInputs(weak, ("b0",), y)}
    for name in play.NAMES[1 : 1 + hosts]:
        names = tuple(f"{name}{at}" for at in range(6))
        found[name] = BoostingInputs(np.tile(x, (1, 3)), names)
    return found


def ran(
    inputs: Mapping[str, BoostingInputs], public: PublicRandom, **parameters: Any
) -> world.World:
    """Train with secrets of the operating system, and keep every message."""

    def entry(party: Party) -> Any:
        chosen = BoostingParameters(**(SMALL | {"implementation": "ideal"} | parameters))
        return train(replace(party, public_rng=public), inputs[party.name], chosen)

    return world.run(play.roles(tuple(inputs)), entry, record=True).check()


def model(done: world.World) -> tuple[Any, ...]:
    """Return every party's part and the guest's scores of its training rows."""
    margin = done.results["bank"].history.margin
    assert margin is not None
    return (*(done.results[name].part for name in sorted(done.results)), margin.tolist())


def sent(done: world.World, party: str) -> dict[str, list[bytes]]:
    """Return what a party sent, by the last part of the tag."""
    transport: Any = done.transports[party]
    found: dict[str, list[bytes]] = {}
    for entry in transport.entries:
        if entry.direction == "sent":
            found.setdefault(entry.tag.rpartition("/")[2], []).append(entry.body)
    return found


@pytest.mark.parametrize("hosts", [1, 2])
@pytest.mark.parametrize("samples", [1.0, 0.6])
def test_a_fixed_seed_gives_the_same_trees_weights_and_scores(hosts: int, samples: float) -> None:
    inputs = tied(hosts)
    share = {"row_sample": samples, "column_sample": samples}
    first, second = (ran(inputs, FIXED, **share) for _ in range(2))
    part = first.results["bank"].part
    assert isinstance(part, GuestPart)
    assert sum(part.host_splits) > 4
    assert model(first) == model(second)


def test_without_one_equal_gains_fall_differently() -> None:
    inputs = tied(1)
    parts = {str(ran(inputs, TOSSED).results["shop"].part) for _ in range(4)}
    assert len(parts) > 1


def test_the_guest_sees_the_same_order_of_cuts_and_fresh_encryptions() -> None:
    inputs = tied(1)
    first, second = (ran(inputs, FIXED, trees=2, implementation="elgamal") for _ in range(2))
    assert model(first) == model(second)
    mine, theirs = sent(first, "shop"), sent(second, "shop")
    for tag in ("candidates", "left"):
        assert mine[tag] == theirs[tag], tag
    for party, tag in (("bank", "key"), ("bank", "rows"), ("shop", "cells")):
        one, other = (b"".join(sent(done, party)[tag]) for done in (first, second))
        assert len(one) == len(other) > 0
        same = np.frombuffer(one, np.uint8) == np.frombuffer(other, np.uint8)
        # Of fresh bytes one in 256 is the same by chance; the rest is what frames a message.
        assert same.mean() < (0.5 if tag == "key" else 0.05), tag


def test_host_noise_stays_fresh() -> None:
    inputs = tied(1)
    sums = [sent(ran(inputs, FIXED, trees=1, host_noise=2.0), "shop")["cells"] for _ in "ab"]
    assert sums[0][0] != sums[1][0]


def test_the_order_follows_from_the_hosts_bins_and_everything_signed() -> None:
    codes = np.arange(12, dtype=np.uint8).reshape(4, 3)
    names = ("a", "b", "c")
    known: dict[str, Party] = {}
    roles = play.roles(("bank", "shop", "telco"))
    world.run(roles, lambda party: known.update({party.name: party})).check()
    other_step: dict[str, Party] = {}
    world.run(roles, lambda p: other_step.update({p.name: p}), task="again").check()
    shop = replace(known["shop"], public_rng=FIXED)

    def seed(
        party: Party = shop,
        names: tuple[str, ...] = names,
        codes: Any = codes,
        parameters: bytes = b"p" * 32,
    ) -> bytes:
        return tree_seed(party, names, codes, parameters)

    one = codes.copy()
    one[3, 2] += 1
    other = PublicRandom(b"g" * 32, fixed=True)
    found = {
        seed(),
        seed(codes=one),
        seed(codes=codes.reshape(3, 4)),
        seed(names=("a", "b", "d")),
        seed(replace(other_step["shop"], public_rng=FIXED)),
        seed(parameters=b"q" * 32),
        seed(replace(shop, public_rng=other)),
        seed(replace(known["telco"], public_rng=FIXED)),
    }
    assert len(found) == 8
    assert seed(codes=np.asfortranarray(codes)) == seed()
    tossed = replace(shop, public_rng=TOSSED)
    assert len({seed(tossed) for _ in range(3)} | {seed()}) == 4
