"""Scoring along paths: the same scores, no more bits than needed, cost and reveals as declared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.channel import world
from atoll.channel.party import Party
from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.core.reveal import Reveal
from atoll.models.boosting import (
    PATH_COST,
    PATH_REVEALS,
    SCORE_COST,
    SCORE_REVEALS,
    GuestPart,
    HostPart,
    Part,
    part_from_bytes,
    part_to_bytes,
    path_score,
    paths,
    score,
    scoring,
)
from atoll.models.boosting.kind import BOOSTING_MODEL
from atoll.operators.cost import HEADER_BYTES, Cost
from tests.models.grown import features, grown, parties

Model = tuple[GuestPart, dict[str, HostPart]]
Score = Callable[[Party, Part, scoring.Floats, Sequence[str]], scoring.Floats | None]


def play(model: Model, held: dict[str, scoring.Floats], run: Score) -> world.World:
    parts = parties(*model)
    roles = {name: Role.GUEST if name == "bank" else Role.HOST for name in parts}

    def entry(party: Party) -> scoring.Floats | None:
        part = parts[party.name]
        return run(party, part, held[party.name], part.columns)

    return world.run(roles, entry).check()


def shape(guest: GuestPart, host: str, rows: int) -> dict[str, int]:
    """Return the public sizes that the formulas name, worked out node by node."""
    owner, found = 1 + guest.hosts.index(host), dict.fromkeys(("planes", "entries"), 0)
    levels = set()
    for tree in guest.trees:
        at = {0: 0}
        for node, who in enumerate(tree.owner):
            if who >= 0:
                at |= {tree.left[node]: at[node] + 1, tree.right[node]: at[node] + 1}
        for level in set(at.values()):
            count = sum(1 for n, who in enumerate(tree.owner) if who == owner and at[n] == level)
            if count:
                levels.add(level)
                found["entries"] += 1
                found["planes"] += int(np.ceil(np.log2(count + 1)))
    splits = guest.host_splits[owner - 1]
    batch = paths.batch_rows(len(guest.trees))
    return {**found, "levels": len(levels), "host_splits": splits, "rows": rows, "batch": batch}


def check_declared(
    made: world.World, guest: GuestPart, rows: int, reveals: tuple[Reveal, ...], cost: Cost
) -> None:
    for host in guest.hosts:
        values = shape(guest, host, rows)
        for sender, receiver in (("bank", host), (host, "bank")):
            role, other = ("guest", "host") if sender == "bank" else ("host", "guest")
            counts = made.channels[sender].disclosures.counts
            sent = {key[2:]: n for key, n in counts.items() if key[1] == receiver and n}
            declared = {
                (line.message, line.field): line.count(values)
                for line in reveals
                if (line.sender, line.receiver) == (role, other)
            }
            assert sent == {key: n for key, n in declared.items() if n}
            size, messages = cost.sent(role, other, values)
            traffic = made.channels[sender].counters.total(peer=receiver)
            assert traffic.messages_sent == messages
            assert 0 <= traffic.bytes_sent - size <= HEADER_BYTES * messages
            if sender == "bank":
                assert traffic.rounds == cost.waits(values)


@given(
    st.integers(0, 1 << 30),
    st.integers(0, 3),
    st.integers(0, 6),
    st.integers(1, 5),
    st.integers(0, 40),
)
@settings(deadline=None, max_examples=60)
def test_both_ways_give_the_same_bits_and_cost_what_they_state(
    seed: int, hosts: int, trees: int, depth: int, rows: int
) -> None:
    rng = np.random.default_rng(seed)
    names = ("mill", "shop", "telco")[:hosts] if hosts else ("shop",)
    model = grown(rng, names, trees, depth)
    held = features(rng, ("bank", *names), rows)
    plain, path = play(model, held, score), play(model, held, path_score)
    np.testing.assert_array_equal(plain.results["bank"], path.results["bank"])
    assert plain.results["bank"].tobytes() == path.results["bank"].tobytes()
    check_declared(plain, model[0], rows, SCORE_REVEALS, SCORE_COST)
    check_declared(path, model[0], rows, PATH_REVEALS, PATH_COST)


def test_batches_are_scored_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "_CELLS", 8 * 16 * 4)
    rng = np.random.default_rng(5)
    model = grown(rng, ("mill", "shop"), 16, 4)
    rows = 8 * 16 * 4 // 16 * 3 + 5
    held = features(rng, ("bank", "mill", "shop"), rows)
    made = play(model, held, path_score)
    np.testing.assert_array_equal(made.results["bank"], play(model, held, score).results["bank"])
    check_declared(made, model[0], rows, PATH_REVEALS, PATH_COST)


def test_a_batch_fits_a_message_and_memory() -> None:
    for trees in (0, 1, 100, 128, 129, 4096, 1 << 16):
        rows = paths.batch_rows(trees)
        assert rows % 8 == 0
        assert rows * trees <= 1 << 23
        # Ten levels at most, so an entry has ten bit planes at most.
        assert trees * 10 * rows // 8 < 60 << 20
    assert paths.batch_rows(1) == 1 << 16


def test_a_part_without_places_is_scored_by_all_bits_alone() -> None:
    _, hosts = grown(np.random.default_rng(0))
    split = hosts["shop"].splits[0].model_copy(update={"tree": None, "node": None})
    old = hosts["shop"].model_copy(update={"splits": (split,)})
    for name, refused in (("bits", False), ("path", True)):
        check = BOOSTING_MODEL.scorers[name].check
        if refused:
            with pytest.raises(UserError, match="ATL-MOD-006"):
                check(old)
        else:
            check(old)
    data = part_to_bytes(old)
    assert b"node" not in data
    assert part_from_bytes(data) == old


def test_two_splits_at_one_place_are_no_places() -> None:
    _, hosts = grown(np.random.default_rng(0))
    twice = hosts["shop"].model_copy(update={"splits": hosts["shop"].splits[:1] * 2})
    with pytest.raises(UserError, match="ATL-MOD-006"):
        paths.check_places(twice)
