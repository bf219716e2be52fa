"""The paths of rows through trees whose splits several parties hold. Pure.

The guest knows the trees and where each row is; a host knows the places of its own splits. At each
level the guest has one entry for each row and each tree in which the host has splits there: which
of these the row reaches, or none. The number of entries follows from the model and the rows alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from atoll.core.errors import PeerError, UserError
from atoll.models.boosting.messages import BATCH_ROWS
from atoll.models.boosting.part import GUEST, LEAF, GuestPart, HostPart, Part, Split

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

# Rows times trees of a batch: what both sides keep of it is four bytes for each.
_CELLS = 1 << 23


def batch_rows(trees: int) -> int:
    """Return how many rows go together, a multiple of 8."""
    return max(8, min(BATCH_ROWS, _CELLS // max(1, trees)) & ~7)


def level_of(node: int) -> int:
    """Return the level of a node whose children are 2i + 1 and 2i + 2; 0 is the root's."""
    return (node + 1).bit_length() - 1


def planes(splits: int) -> int:
    """Return the bits of an entry that names one of so many splits, or none."""
    return splits.bit_length()


class _Splits:
    """Splits as arrays; ``left(numbers, features)`` tests each row by a split of its own."""

    def __init__(self, splits: Sequence[Split]) -> None:
        self._column = np.array([split.column for split in splits], dtype=np.int64)
        self._threshold = np.array([split.threshold for split in splits])
        self._missing_left = np.array([split.missing_left for split in splits], dtype=np.bool_)

    def left(self, numbers: npt.NDArray[np.int64], features: Floats) -> Bools:
        values = features[np.arange(len(numbers)), self._column[numbers]]
        found: Bools = np.less(values, self._threshold[numbers])
        return found | (np.isnan(values) & self._missing_left[numbers])


# -- the guest ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Arrays:
    """A tree as arrays over its nodes; a leaf is its own child."""

    owner: Ints
    split: npt.NDArray[np.int64]
    left: Ints
    right: Ints
    weight: Floats
    levels: list[int]


@dataclass(frozen=True)
class _Slot:
    """A tree in which a host has ``splits`` at a level; ``entry`` by node, 0 where it has none."""

    tree: int
    splits: int
    entry: npt.NDArray[np.uint32]


class GuestPaths:
    """Where rows are in the trees of a guest's part: int32[trees, rows], the node of each."""

    def __init__(self, part: GuestPart) -> None:
        """Errors: ATL-MOD-006 a host's split is at several nodes, so it has no place."""
        self.part = part
        self._own = _Splits(part.splits)
        self._trees = [_arrays(part, at) for at in range(len(part.trees))]
        _check_unique(part)
        self.depth = max((1 + _deepest(tree) for tree in self._trees), default=0)
        self._slots = {
            (owner, level): [
                slot
                for at, tree in enumerate(self._trees)
                if (slot := _slot(at, tree, owner, level)) is not None
            ]
            for owner in range(1, 1 + len(part.hosts))
            for level in range(self.depth)
        }

    def begin(self, rows: int) -> Ints:
        """Return the roots."""
        return np.zeros((len(self._trees), rows), dtype=np.int32)

    def sizes(self, owner: int, level: int) -> tuple[int, int]:
        """Return the bit planes of a question to the host ``owner`` (1 the first), and entries."""
        slots = self._slots[owner, level]
        return sum(planes(slot.splits) for slot in slots), len(slots)

    def question(self, owner: int, level: int, at: Ints) -> Bools:
        """Return the entries for a host at a level as bool[planes, rows]."""
        found = []
        for slot in self._slots[owner, level]:
            entry = slot.entry[at[slot.tree]]
            found += [(entry >> np.uint32(bit)) & 1 for bit in range(planes(slot.splits))]
        return np.array(found, dtype=np.bool_)

    def move(self, level: int, at: Ints, features: Floats, sides: Mapping[int, Bools]) -> None:
        """Go one level down; ``sides[owner]`` is bool[entries, rows], True for left.

        Errors: ATL-MOD-004 a host answered where it was not asked.
        """
        left = np.zeros(at.shape, dtype=np.bool_)
        for owner, found in sides.items():
            for slot, side in zip(self._slots[owner, level], found, strict=True):
                if (side & (slot.entry[at[slot.tree]] == 0)).any():
                    text = "a side is stated of a row that was not asked for"
                    host = self.part.hosts[owner - 1]
                    raise PeerError("ATL-MOD-004", text, party=host)
                left[slot.tree] |= side
        for number, tree in enumerate(self._trees):
            if level not in tree.levels:
                continue
            nodes = at[number]
            mine = np.flatnonzero(tree.owner[nodes] == GUEST)
            if mine.size:
                left[number, mine] = self._own.left(tree.split[nodes[mine]], features[mine])
            at[number] = np.where(left[number], tree.left[nodes], tree.right[nodes])

    def margins(self, at: Ints) -> Floats:
        """Return the log-odds of rows at leaves, added up as ``scoring.margins`` does."""
        total = np.full(at.shape[1], self.part.base_margin)
        for tree, nodes in zip(self._trees, at, strict=True):
            total += tree.weight[nodes]
        return total


def _arrays(part: GuestPart, number: int) -> _Arrays:
    tree = part.trees[number]
    owner = np.array(tree.owner, dtype=np.int32)
    level = [0] * len(owner)
    for node, who in enumerate(tree.owner):
        if who != LEAF:
            level[tree.left[node]] = level[tree.right[node]] = level[node] + 1
    own = np.arange(len(owner), dtype=np.int32)
    return _Arrays(
        owner=owner,
        split=np.array(tree.split, dtype=np.int64),
        left=np.where(owner == LEAF, own, np.array(tree.left, dtype=np.int32)),
        right=np.where(owner == LEAF, own, np.array(tree.right, dtype=np.int32)),
        weight=np.array(tree.weight),
        levels=[at if who != LEAF else LEAF for at, who in zip(level, tree.owner, strict=True)],
    )


def _deepest(tree: _Arrays) -> int:
    return max(tree.levels)


def _slot(number: int, tree: _Arrays, owner: int, level: int) -> _Slot | None:
    nodes = [
        node
        for node, at in enumerate(tree.levels)
        if at == level and int(tree.owner[node]) == owner
    ]
    if not nodes:
        return None
    entry = np.zeros(len(tree.owner), dtype=np.uint32)
    # The host counts these splits by their numbers.
    for rank, node in enumerate(sorted(nodes, key=lambda node: int(tree.split[node])), 1):
        entry[node] = rank
    return _Slot(number, len(nodes), entry)


def _check_unique(part: GuestPart) -> None:
    held = [
        (owner, split)
        for tree in part.trees
        for owner, split in zip(tree.owner, tree.split, strict=True)
        if owner > GUEST
    ]
    if len(set(held)) != len(held):
        raise no_places()


# -- hosts --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _HostSlot:
    """The host's splits of a tree at a level, and what a row must have done before each.

    ``before`` is 0 where none of the host's splits lies above; else 1 + 2i for left of the i-th
    split of the tree, 2 + 2i for right of it. The first place of both arrays is for no split.
    """

    tree: int
    numbers: npt.NDArray[np.int64]
    before: Ints
    after: Ints

    @property
    def splits(self) -> int:
        return len(self.numbers) - 1


@dataclass
class HostPaths:
    """What a host may be asked about a row: splits that its path can still reach.

    A row has a state for each tree in which the host has splits: the last of them that was asked
    for it, and its side. A split may be asked where its nearest own split above was the last, on
    the side that leads here; so what is asked of a row lies on one path through each tree.
    """

    part: HostPart
    levels: dict[int, list[_HostSlot]] = field(init=False)
    trees: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Errors: ATL-MOD-006 the part does not state where its splits lie."""
        held: dict[int, dict[int, int]] = {}
        for number, split in enumerate(self.part.splits):
            if split.tree is None or split.node is None:
                raise no_places()
            held.setdefault(split.tree, {})[split.node] = number
        if sum(map(len, held.values())) != len(self.part.splits):
            raise no_places()
        self._splits = _Splits(self.part.splits)
        self.trees = tuple(sorted(held))
        self.levels = {}
        for at, tree in enumerate(self.trees):
            for level, slot in _host_slots(at, held[tree]):
                self.levels.setdefault(level, []).append(slot)

    def begin(self, rows: int) -> Ints:
        """Return the states of rows of which nothing was asked: int32[own trees, rows]."""
        return np.zeros((len(self.trees), rows), dtype=np.int32)

    def sizes(self, level: int) -> tuple[int, int]:
        """Return the bit planes of a question at a level, and its entries for each row."""
        slots = self.levels[level]
        return sum(planes(slot.splits) for slot in slots), len(slots)

    def answer(self, level: int, question: Bools, state: Ints, features: Floats) -> Bools:
        """Return bool[entries, rows], True for left; moves the states on.

        Errors: ATL-MOD-007 a split is asked that is not there, or that no path reaches.
        """
        sides = np.zeros((len(self.levels[level]), question.shape[1]), dtype=np.bool_)
        begin = 0
        for side, slot in zip(sides, self.levels[level], strict=True):
            end = begin + planes(slot.splits)
            entry = np.zeros(question.shape[1], dtype=np.int64)
            for bit, plane in enumerate(question[begin:end]):
                entry |= plane.astype(np.int64) << bit
            begin = end
            rows = np.flatnonzero(entry)
            named = entry[rows]
            if rows.size and int(named.max()) > slot.splits:
                raise not_on_path()
            if (state[slot.tree, rows] != slot.before[named]).any():
                raise not_on_path()
            left = self._splits.left(slot.numbers[named], features[rows])
            side[rows] = left
            state[slot.tree, rows] = slot.after[named] + ~left
        return sides


def _host_slots(at: int, held: Mapping[int, int]) -> list[tuple[int, _HostSlot]]:
    """Return the slots of one tree, by level; ``held`` are the split's numbers by node."""
    rank = {node: place for place, node in enumerate(sorted(held))}
    levels: dict[int, list[int]] = {}
    for node in held:
        levels.setdefault(level_of(node), []).append(node)
    found = []
    for level, nodes in sorted(levels.items()):
        nodes.sort(key=lambda node: held[node])
        slot = _HostSlot(
            at,
            np.array([0, *(held[node] for node in nodes)], dtype=np.int64),
            np.array([0, *(_before(node, rank) for node in nodes)], dtype=np.int32),
            np.array([0, *(1 + 2 * rank[node] for node in nodes)], dtype=np.int32),
        )
        found.append((level, slot))
    return found


def _before(node: int, rank: Mapping[int, int]) -> int:
    while node:
        above = (node - 1) // 2
        if above in rank:
            return 1 + 2 * rank[above] + (node == 2 * above + 2)
        node = above
    return 0


def check_places(part: Part) -> None:
    """Refuse a host's part that does not state where its splits lie. Errors: ATL-MOD-006."""
    if isinstance(part, HostPart):
        HostPaths(part)


def no_places() -> UserError:
    """Return the refusal of a part that does not state where a host's splits lie."""
    return UserError(
        "ATL-MOD-006",
        "the model does not state where in the trees its splits lie",
        place="implementation",
        hint="score with `bits`, or train the model again",
    )


def not_on_path() -> PeerError:
    """Return the refusal of a question that no honest guest asks."""
    return PeerError("ATL-MOD-007", "the guest asks for splits that no row's path reaches")
