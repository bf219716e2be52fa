"""The histogram under EC-ElGamal against a party that lies within well-formed messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from atoll.channel.party import Party
from atoll.channel.world import World, run
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.crypto.elgamal import PairVector
from atoll.operators import histogram
from atoll.operators.histogram import NodeBound, NodeCuts
from atoll.operators.histogram.checks import CellCounts
from atoll.operators.histogram.elgamal.messages import Cells, Key, Rows
from tests.dishonest.lying import speaking

SEATS = {"bank": Role.GUEST, "shop": Role.HOST}
ROWS, WIDTH = 24, 5
RNG = np.random.default_rng(4)
BINS = RNG.integers(0, WIDTH - 1, (ROWS, 2)).astype(np.uint8)
G = RNG.integers(-4096, 4097, ROWS).astype(np.int32)
H = RNG.integers(0, 1025, ROWS).astype(np.int32)
CUTS = NodeCuts(
    np.arange(ROWS, dtype=np.uint32),
    np.array([0, 0, 1, 1], dtype=np.uint32),
    np.array([0, 1, 1, 2], dtype=np.uint16),
    np.zeros(4, dtype=np.bool_),
)
BOUND = NodeBound(4, -(ROWS << 12), ROWS << 12, 0, ROWS << 10)


Change = Callable[[Message], Message]


def play(
    lies: Mapping[str, Change] | None = None, *, trees: int = 1, g: npt.NDArray[np.int32] = G
) -> World:
    """Play the operator as shipped, but for what a liar's lie makes of each of its messages."""

    def lying(party: Party) -> Party:
        lie = (lies or {}).get(party.name)
        return party if lie is None else speaking(party, lambda tag, message: [lie(message)])

    def bank(party: Party) -> Any:
        side = histogram.guest(lying(party), "elgamal")
        side.start()
        found = []
        for tree in range(trees):
            side.publish(tree, g, H)
            found.append(side.collect("shop", f"{tree}/0", [BOUND])[0])
        return found

    def shop(party: Party) -> None:
        side = histogram.host(lying(party), "elgamal")
        side.start()
        for tree in range(trees):
            side.receive(tree, ROWS)
            side.reply(f"{tree}/0", BINS, WIDTH, [CUTS])

    return run(SEATS, {"bank": bank, "shop": shop}, seed=3)


def instead(kind: type[Message], change: Callable[[Any], Any]) -> Callable[[Message], Message]:
    return lambda message: change(message) if isinstance(message, kind) else message


def code(world: World, name: str) -> str | None:
    return getattr(world.errors.get(name), "code", None)


# Guests.


def test_powers_of_two_single_out_each_row() -> None:
    """The guest hides 2^i for row i: nothing stops it, four sums tell it four cuts row by row."""
    rows = 18
    powers = np.zeros(ROWS, dtype=np.int32)
    powers[:rows] = 1 << np.arange(rows)
    bound = replace(BOUND, g_high=1 << rows)

    def bank(party: Party) -> Any:
        side = histogram.guest(party, "elgamal")
        side.start()
        side.publish(0, powers, H)
        return side.collect("shop", "t", [bound])[0].g

    def shop(party: Party) -> None:
        side = histogram.host(party, "elgamal")
        side.start()
        side.receive(0, ROWS)
        side.reply("t", BINS, WIDTH, [CUTS])

    sums = run(SEATS, {"bank": bank, "shop": shop}, seed=3).check().results["bank"]
    read = (sums[:, np.newaxis] >> np.arange(rows)) & 1
    left = [BINS[:rows, column] <= cut for column, cut in zip(CUTS.columns, CUTS.cuts, strict=True)]
    # 62 bits a sum are stated; the units that are charged are the sums.
    assert read.tolist() == np.array(left, dtype=np.int64).tolist()


def test_one_ciphertext_for_all_rows_tells_counts_and_no_more() -> None:
    """The guest sends one row's ciphertext for all rows: the sums are its multiples."""

    def same(chunk: Rows) -> Rows:
        return replace(chunk, cells=np.repeat(chunk.cells[:1], len(chunk.cells), axis=0))

    found = play({"bank": instead(Rows, same)}).check().results["bank"][0]
    counts = [
        int((BINS[:, column] <= cut).sum())
        for column, cut in zip(CUTS.columns, CUTS.cuts, strict=True)
    ]
    assert found.g.tolist() == [count * int(G[0]) for count in counts]


def test_equal_rows_do_not_make_replies_equal() -> None:
    """The guest sends the same rows twice to compare the replies: each is randomised afresh."""
    first: list[Rows] = []
    seen: list[Any] = []

    def same(chunk: Rows) -> Rows:
        first.append(chunk)
        return replace(first[0], tree=chunk.tree)

    def keep(cells: Cells) -> Cells:
        seen.append(cells.cells)
        return cells

    play({"bank": instead(Rows, same), "shop": instead(Cells, keep)}, trees=2).check()
    assert len(seen) == 2
    assert not (seen[0] == seen[1]).all(axis=1).any()


FROM_GUEST: dict[str, tuple[type[Message], Callable[[Any], Any], str]] = {
    "the key of another session": (
        Key,
        lambda key: replace(key, session=bytes(31) + b"\1"),
        "ATL-HIS-006",
    ),
    "rows of another tree": (Rows, lambda rows: replace(rows, tree=rows.tree + 1), "ATL-HIS-002"),
    "more rows than are due": (
        Rows,
        lambda rows: replace(rows, cells=np.concatenate([rows.cells, rows.cells])),
        "ATL-HIS-002",
    ),
    "two keys that are one": (
        Key,
        lambda key: replace(key, public=key.public[:64] * 2),
        "ATL-CRY-005",
    ),
}


@pytest.mark.parametrize("case", FROM_GUEST)
def test_hosts_refuse(case: str) -> None:
    """The guest sends what belongs to another session, tree or size."""
    kind, change, expected = FROM_GUEST[case]
    assert code(play({"bank": instead(kind, change)}), "shop") == expected


# Hosts.


@pytest.mark.parametrize("part", ["g", "h"])
def test_whether_a_sum_is_in_range_does_not_show(part: str) -> None:
    """The host adds something to its sums and watches whether the guest ends: it never does."""
    shift = 10**7
    outcomes = set()
    for sign in (-1, 0, 1):

        def shop(party: Party, by: int = sign * shift) -> None:
            side = histogram.host(party, "elgamal")
            side.start()
            side.receive(0, ROWS)
            added, none = np.full(4, by, dtype=np.int64), np.zeros(4, dtype=np.int64)
            noise = (added, none) if part == "g" else (none, added)
            side.reply("t", BINS, WIDTH, [CUTS], [noise])

        def bank(party: Party) -> Any:
            side = histogram.guest(party, "elgamal")
            side.start()
            side.publish(0, G, H)
            return side.collect("shop", "t", [BOUND])[0]

        world = run(SEATS, {"bank": bank, "shop": shop}, seed=3)
        outcomes.add((code(world, "bank"), code(world, "shop")))
        assert world.results["bank"].inside.all() == (sign == 0)
    assert outcomes == {(None, None)}


def test_the_guests_own_rows_sent_back_are_no_sums_of_theirs() -> None:
    """The host returns the guest's ciphertexts: 8 g where 64 g is due is a sum of no rows."""
    rows: list[Any] = []

    def shop(party: Party) -> None:
        side = histogram.host(party, "elgamal")
        side.start()
        channel = party.channel
        chunk = channel.receive("bank", "histogram/rows", Rows)
        rows.append(PairVector.parse(chunk.cells))
        channel.send("bank", "histogram/t/counts", CellCounts(np.array([4], dtype=np.uint32)))
        channel.send("bank", "histogram/t/cells", Cells(chunk.cells[:4]))

    def bank(party: Party) -> Any:
        side = histogram.guest(party, "elgamal")
        side.start()
        side.publish(0, 2 * G + 1, H)
        return side.collect("shop", "t", [BOUND])[0]

    found = run(SEATS, {"bank": bank, "shop": shop}).check().results["bank"]
    assert not found.inside.any()


@pytest.mark.parametrize(
    "counts", [lambda c: c + np.uint32(1), lambda c: c - np.uint32(1), lambda c: np.repeat(c, 2)]
)
def test_counts_that_differ_are_refused(counts: Callable[[Any], Any]) -> None:
    """The host announces another number of cells than its cuts: ATL-HIS-003."""
    lie = instead(CellCounts, lambda message: CellCounts(counts(message.counts)))
    assert code(play({"shop": lie}), "bank") == "ATL-HIS-003"


def test_cells_of_an_earlier_tree_are_sums_of_other_gradients() -> None:
    """The host replays its first reply: the operator opens it, boosting tests it at the winner."""
    kept: list[Cells] = []

    def replay(cells: Cells) -> Cells:
        kept.append(cells)
        return kept[0]

    found = play({"shop": instead(Cells, replay)}, trees=2).check().results["bank"]
    assert found[0].g.tolist() == found[1].g.tolist()


def test_what_is_no_point_ends_the_run_whatever_it_hides() -> None:
    """A malformed point is the host's own doing and shows nothing of a sum: ATL-HIS-004."""

    def spoil(cells: Cells) -> Cells:
        body = cells.cells.copy()
        body[0, :64] = 0
        body[0, 0], body[0, 32] = 3, 4
        return Cells(body)

    assert code(play({"shop": instead(Cells, spoil)}), "bank") == "ATL-HIS-004"
