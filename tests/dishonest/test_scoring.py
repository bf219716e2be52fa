"""Lies in joint scoring: what a guest or a host gains, what stops it, and what the ledger charges.

A guest that scores by ``bits`` gets the sides of a row at all of a host's splits; by ``path`` the
host holds it to one path through each tree, whichever the guest chooses where others' splits lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.core.message import Message
from atoll.models.boosting import GuestPart, HostPart, path_score, score
from atoll.models.boosting.messages import (
    PathQuestion,
    PathSides,
    ScoreBits,
    ScoreStart,
)
from atoll.models.boosting.paths import GuestPaths, HostPaths, level_of
from atoll.models.boosting.scoring import goes_left, pack_rows, read_rows
from tests.dishonest.scorers import DEPTH, ROLES, ROWS, TREES, models, rows, started
from tests.models.grown import COLUMNS, parties
from tests.protocols.conftest import Conformance

CONFORMANCE = Conformance()


def against_host(
    lie: Callable[[Party, GuestPart], Any], model: tuple[GuestPart, HostPart], run: Any = path_score
) -> world.World:
    """Let a guest lie to the honest host."""
    held = rows()["shop"]

    def host(party: Party) -> None:
        run(party, model[1], held, model[1].columns)

    return world.run(ROLES, {"bank": lambda party: lie(party, model[0]), "shop": host})


def against_guest(lie: Callable[[str, Message], Iterable[Message]], run: Any) -> world.World:
    """Let a host lie to the honest guest, message by message."""
    model, held = models(), rows()
    parts = parties(model[0], {"shop": model[1]})

    def entry(party: Party) -> Any:
        who = CONFORMANCE.lying(party, lie) if party.name == "shop" else party
        return run(who, parts[party.name], held[party.name], parts[party.name].columns)

    return world.run(ROLES, entry)


def ask(party: Party, level: int, entries: Any, count: int = 0, batch: int = 0) -> PathSides:
    question = PathQuestion(batch, level, count, pack_rows(entries))
    party.channel.send("shop", "score", question)
    return party.channel.receive("shop", "score", PathSides)


class Greedy:
    """A guest that asks, of each row and tree, for any split that the host lets it ask next."""

    def __init__(self, host: HostPart) -> None:
        self.host, self.paths = host, HostPaths(host)
        self.known: dict[tuple[int, int], bool] = {}

    def __call__(self, party: Party, part: GuestPart) -> None:
        started(party, part)
        last: dict[tuple[int, int], tuple[int, bool]] = {}
        count = ROWS
        for level in sorted(self.paths.levels):
            slots = self.paths.levels[level]
            chosen = np.zeros((len(slots), ROWS), dtype=np.int64)
            for at, slot in enumerate(slots):
                for row in range(ROWS):
                    chosen[at, row] = self._next(slot.numbers[1:], last.get((slot.tree, row)))
            planes = [
                (entry >> bit) & 1
                for entry, slot in zip(chosen, slots, strict=True)
                for bit in range(slot.splits.bit_length())
            ]
            answer = ask(party, level, np.array(planes, dtype=np.bool_), count)
            sides = read_rows(answer.bits, len(slots), ROWS)
            assert sides is not None
            count = 0
            for at, slot in enumerate(slots):
                for row in np.flatnonzero(chosen[at]).tolist():
                    number = int(slot.numbers[chosen[at, row]])
                    last[slot.tree, row] = number, bool(sides[at, row])
                    self.known[number, row] = bool(sides[at, row])

    def _next(self, numbers: Any, last: tuple[int, bool] | None) -> int:
        """Return the first of these splits, from 1, that may follow the last; 0: none does."""
        for rank, number in enumerate(numbers, 1):
            if self._above(number) == last:
                return rank
        return 0

    def _above(self, number: int) -> tuple[int, bool] | None:
        """Return the host's nearest split above one, and whether this one lies left of it."""
        split = self.host.splits[number]
        places = {
            other.node: at for at, other in enumerate(self.host.splits) if other.tree == split.tree
        }
        node = split.node or 0
        while node:
            above = (node - 1) // 2
            if above in places:
                return places[above], node == 2 * above + 1
            node = above
        return None


def longest_chains(host: HostPart) -> int:
    """Return the most splits of the host on one path of each tree, over all trees."""
    most: dict[int, int] = {}
    nodes = {(split.tree, split.node) for split in host.splits}
    for split in host.splits:
        node, count = split.node or 0, 1
        while node:
            node = (node - 1) // 2
            count += (split.tree, node) in nodes
        most[split.tree or 0] = max(most.get(split.tree or 0, 0), count)
    return sum(most.values())


def test_a_guest_that_wants_every_side_gets_one_path_a_tree_and_row() -> None:
    """Lie: at each level it asks for whatever split the host lets it, of every row. Gain: the sides
    on one path of the host's own splits in each tree, at most trees × depth a row, where `bits`
    gives all; they are true, and each row is charged.
    """
    model = models()
    greedy = Greedy(model[1])
    made = against_host(greedy, model).check()
    truth = goes_left(model[1].splits, rows()["shop"])
    assert all(truth[number, row] == side for (number, row), side in greedy.known.items())
    by_row = np.bincount([row for _, row in greedy.known], minlength=ROWS)
    assert by_row.min() > 0
    assert by_row.max() <= longest_chains(model[1]) <= TREES * DEPTH
    assert longest_chains(model[1]) < len(model[1].splits)
    sent = made.channels["shop"].disclosures.counts
    assert sent["shop", "bank", PathSides.kind, "rows"] == ROWS


def test_a_guest_that_scores_by_bits_gets_every_side_of_every_row() -> None:
    """Lie: none is needed. Gain: all sides of the host's splits, for each row, and each row is
    charged; the plan says so, and `path` withstands it.
    """
    part, host = models()
    kept: list[ScoreBits] = []

    def lie(party: Party, _: GuestPart) -> None:
        party.channel.send("shop", "score", ScoreStart(part.model, ROWS, len(host.splits)))
        kept.append(party.channel.receive("shop", "score", ScoreBits))

    made = against_host(lie, (part, host), score).check()
    found = read_rows(kept[0].bits, len(host.splits), ROWS)
    np.testing.assert_array_equal(found, goes_left(host.splits, rows()["shop"]))
    assert made.channels["shop"].disclosures.counts["shop", "bank", ScoreBits.kind, "rows"] == ROWS


# -- questions that no honest guest asks -----------------------------------------------


def honest_entries(part: GuestPart, level: int) -> Any:
    """Return what an honest guest asks at the first level at which the host has splits."""
    paths = GuestPaths(part)
    return paths.question(1, level, paths.begin(ROWS))


def first_level(host: HostPart) -> int:
    return min(level_of(split.node or 0) for split in host.splits)


def all_hosts(seed: int = 3) -> tuple[GuestPart, HostPart]:
    """Return a model whose splits are all the host's, so that each question has a right answer."""
    return models(seed, guest=0.0)


def asks_again(party: Party, part: GuestPart) -> None:
    started(party, part)
    ask(party, 0, honest_entries(part, 0), ROWS)
    ask(party, 0, honest_entries(part, 0))


def asks_the_other_side(party: Party, part: GuestPart) -> None:
    """Ask at the second level for the child where the row does not go."""
    started(party, part)
    paths = GuestPaths(part)
    at = paths.begin(ROWS)
    answer = ask(party, 0, paths.question(1, 0, at), ROWS)
    sides = read_rows(answer.bits, TREES, ROWS)
    assert sides is not None
    paths.move(0, at, np.zeros((ROWS, COLUMNS)), {1: ~sides})
    ask(party, 1, paths.question(1, 1, at))


def asks_below_first(party: Party, part: GuestPart) -> None:
    """Ask at the second level of rows of which nothing was asked at the first."""
    started(party, part)
    none = np.zeros_like(honest_entries(part, 0))
    answer = ask(party, 0, none, ROWS)
    assert not any(answer.bits)
    paths = GuestPaths(part)
    at = paths.begin(ROWS)
    paths.move(0, at, np.zeros((ROWS, COLUMNS)), {1: np.ones((TREES, ROWS), dtype=np.bool_)})
    ask(party, 1, paths.question(1, 1, at))


def asks_for_no_split(party: Party, part: GuestPart) -> None:
    """Name a split beyond those of the level: all bit planes set."""
    started(party, part)
    paths = GuestPaths(part)
    at = paths.begin(ROWS)
    answer = ask(party, 0, paths.question(1, 0, at), ROWS)
    sides = read_rows(answer.bits, TREES, ROWS)
    assert sides is not None
    paths.move(0, at, np.zeros((ROWS, COLUMNS)), {1: sides})
    ask(party, 1, np.ones_like(paths.question(1, 1, at)))


def asks_of_rows_beyond(party: Party, part: GuestPart) -> None:
    """Ask of more rows than the batch has."""
    started(party, part)
    more = np.ones((honest_entries(part, 0).shape[0], ROWS + 8), dtype=np.bool_)
    ask(party, 0, more, ROWS)


def asks_in_the_padding(party: Party, part: GuestPart) -> None:
    """Ask of rows in the bits that pad the last byte."""
    started(party, part)
    entries = honest_entries(part, 0)
    padded = np.ones((entries.shape[0], -(-ROWS // 8) * 8), dtype=np.bool_)
    question = PathQuestion(0, 0, ROWS, pack_rows(padded)[:-1] + b"\xff\xff")
    party.channel.send("shop", "score", question)
    party.channel.receive("shop", "score", PathSides)


def asks_another_batch(party: Party, part: GuestPart) -> None:
    started(party, part)
    ask(party, 0, honest_entries(part, 0), ROWS, batch=1)


def hides_its_rows(party: Party, part: GuestPart) -> None:
    """State that the question is about no rows, so that its own ledger counts none."""
    started(party, part)
    ask(party, 0, honest_entries(part, 0), 0)


def scores_more_rows(party: Party, part: GuestPart) -> None:
    started(party, part, ROWS + 1)
    ask(party, 0, honest_entries(part, 0), ROWS)


def has_fewer_trees(party: Party, part: GuestPart) -> None:
    """Claim one tree, so that more rows would fit a batch."""
    started(party, part, trees=1)
    ask(party, 0, honest_entries(part, 0), ROWS)


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (asks_again, "ATL-MOD-007"),
        (asks_the_other_side, "ATL-MOD-007"),
        (asks_below_first, "ATL-MOD-007"),
        (asks_for_no_split, "ATL-MOD-007"),
        (asks_of_rows_beyond, "ATL-MOD-007"),
        (asks_in_the_padding, "ATL-MOD-007"),
        (asks_another_batch, "ATL-MOD-007"),
        (hides_its_rows, "ATL-MOD-007"),
        (scores_more_rows, "ATL-MOD-003"),
        (has_fewer_trees, "ATL-MOD-002"),
    ],
)
def test_a_guest_that_leaves_the_paths_is_refused(
    lie: Callable[[Party, GuestPart], None], code: str
) -> None:
    """Lie: a question beyond one path of rows that are there (each of ``lie``). Rule: the host
    refuses it, and sends no side that the path before did not have.
    """
    made = against_host(lie, all_hosts())
    CONFORMANCE.check_refused(made, code, by="shop")
    sent = made.channels["shop"].disclosures.counts
    # At most the first level was answered.
    assert sent["shop", "bank", PathSides.kind, "bits"] <= TREES * -(-ROWS // 8)


# -- hosts -------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [score, path_score])
def test_a_host_that_turns_its_answers_moves_scores_unseen(run: Any) -> None:
    """Lie: the host answers as if all rows had other values. Gain: it changes scores, and no one
    can tell, as a host alone knows its columns. By ``bits`` it learns nothing; by ``path`` it sees
    where rows go along the path that it chose for them, in as many bytes.
    """
    model, held = models(guest=0.0), rows()
    parts = parties(model[0], {"shop": model[1]})
    turned = model[1].model_copy(
        update={
            "splits": tuple(
                split.model_copy(update={"threshold": -1e9, "missing_left": False})
                for split in model[1].splits
            )
        }
    )

    def entry(lies: bool) -> Callable[[Party], Any]:
        def play(party: Party) -> Any:
            part = turned if lies and party.name == "shop" else parts[party.name]
            return run(party, part, held[party.name], part.columns)

        return play

    plain, lied = (world.run(ROLES, entry(lies)).check() for lies in (False, True))
    assert (plain.results["bank"] != lied.results["bank"]).any()
    # Sizes follow from the model and the rows alone, whatever is answered.
    counts = [made.channels["bank"].disclosures.counts for made in (plain, lied)]
    assert counts[0] == counts[1]


def _cut(message: Any) -> Iterable[Message]:
    return [type(message)(**{**vars(message), "bits": message.bits[:-1]})]


def _late(message: Any) -> Iterable[Message]:
    return [type(message)(**{**vars(message), "batch": message.batch + 1})]


def _none(message: Any) -> Iterable[Message]:
    return [type(message)(**{**vars(message), "rows": 0})]


def _everywhere(message: Any) -> Iterable[Message]:
    if not message.level:
        return [message]
    width = -(-ROWS // 8)
    bits = np.ones((len(message.bits) // width, ROWS), dtype=np.bool_)
    return [type(message)(**{**vars(message), "bits": pack_rows(bits)})]


@pytest.mark.parametrize(
    ("run", "kind", "change"),
    [
        (score, ScoreBits, _cut),
        (score, ScoreBits, _late),
        (score, ScoreBits, _none),
        (path_score, PathSides, _cut),
        (path_score, PathSides, _late),
        (path_score, PathSides, _none),
        (path_score, PathSides, _everywhere),
    ],
)
def test_a_host_that_answers_another_question_is_named(
    run: Any, kind: Any, change: Callable[[Any], Iterable[Message]]
) -> None:
    """Lie: sides of other rows, of another batch, hidden from its own ledger, or of rows that were
    not asked for. Rule: ATL-MOD-004.
    """
    made = against_guest(CONFORMANCE.instead(kind, change), run)
    CONFORMANCE.check_refused(made, "ATL-MOD-004")
