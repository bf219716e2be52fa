"""A tree while it grows: nodes with their rows, and the arrays that a part keeps."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from atoll.models.boosting.part import LEAF, Tree

Rows = npt.NDArray[np.uint32]
Bools = npt.NDArray[np.bool_]
# How often the guest asks again for a cut of a node after one was refused.
REFUSALS = 3


def model_id(root: bytes, task: str) -> str:
    """Return the id that ties the parties' parts together, 32 hexadecimal digits.

    ``root`` is 32 bytes that all of them hold (``progress.new_model``).
    """
    return hashlib.sha256(b"atoll/model/v1" + root + task.encode()).hexdigest()[:32]


def threshold(thresholds: npt.NDArray[np.float64], cut: int) -> float:
    """Return the value below which a row lies in bins 0…cut."""
    return float(thresholds[cut]) if cut < len(thresholds) else float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Sample:
    """The rows whose sums are taken in a tree, and where each of them stands among these.

    ``rows`` are ascending, of ``total``; rows outside only follow the splits.
    """

    rows: Rows
    total: int
    inside: Bools = field(init=False)
    position: Rows = field(init=False)

    def __post_init__(self) -> None:
        inside = np.zeros(self.total, dtype=np.bool_)
        inside[self.rows] = True
        object.__setattr__(self, "inside", inside)
        position = np.cumsum(inside, dtype=np.uint32) - np.uint32(1)
        object.__setattr__(self, "position", position)

    @property
    def everyone(self) -> bool:
        """Whether every row is in the sample."""
        return len(self.rows) == self.total

    def positions(self, rows: Rows) -> Rows:
        """Return the positions, within the sample, of those of ``rows`` that are in it."""
        return rows if self.everyone else self.position[rows[self.inside[rows]]]


@dataclass
class TreeNode:
    """A node's place in the tree and its rows: all of them, and those that are summed.

    ``number`` is 0 for the root and 2i + 1, 2i + 2 for the children of i; ``rows`` ascend.
    """

    number: int
    depth: int
    rows: Rows
    summed: Rows

    def divide(self, left: Bools, sample: Sample) -> tuple[TreeNode, TreeNode]:
        """Return the two children by a side for each row."""
        return self._child(1, self.rows[left], sample), self._child(2, self.rows[~left], sample)

    def _child(self, side: int, rows: Rows, sample: Sample) -> TreeNode:
        return TreeNode(2 * self.number + side, self.depth + 1, rows, sample.positions(rows))


def small_first(left: TreeNode, right: TreeNode) -> tuple[TreeNode, TreeNode]:
    """Return (the child whose sums are taken, the one derived): fewer rows first, tie left."""
    return (left, right) if len(left.summed) <= len(right.summed) else (right, left)


@dataclass
class TreeBuilder:
    """Collects the nodes of one tree; made breadth first, so children follow their parents."""

    owner: list[int] = field(default_factory=list)
    split: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    index: dict[int, int] = field(default_factory=dict)

    def node(self, place: TreeNode, weight: float) -> None:
        """Add a node as a leaf."""
        self.index[place.number] = len(self.owner)
        self.owner.append(LEAF)
        self.split.append(0)
        self.left.append(0)
        self.right.append(0)
        self.weight.append(weight)
        self.gain.append(0.0)
        self.rows.append(len(place.summed))

    def divide(self, number: int, owner: int, split: int, gain: float) -> None:
        """Turn a leaf into a split; its children must be added next, left first."""
        at = self.index[number]
        self.owner[at], self.split[at], self.gain[at], self.weight[at] = owner, split, gain, 0.0
        self.left[at], self.right[at] = len(self.owner), len(self.owner) + 1

    def tree(self) -> Tree:
        """Return the arrays as data."""
        return Tree(
            owner=tuple(self.owner),
            split=tuple(self.split),
            left=tuple(self.left),
            right=tuple(self.right),
            weight=tuple(self.weight),
            gain=tuple(self.gain),
            rows=tuple(self.rows),
        )
