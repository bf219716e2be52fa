"""What a guest reads of a host's columns that chooses its gradients: powers of two.

The hosts are as shipped. The guest sends 2^i for row i in place of g and h, so that a sum names the
rows left of a cut one by one; it splits every node by halves of its own, so that each node of the
last level has other rows behind the same powers, and refuses whatever it likes. In place of the
ciphertexts the sums are taken in the clear on integers of 64 bits, as a search of 2^31 steps over
the points of the group would give them.

Source: the remark of SecureBoost (Cheng et al. 2021, section 7) that sums leak, made active.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.channel.world import run
from atoll.core.errors import AtollError
from atoll.core.message import Message, array
from atoll.core.names import Role
from atoll.core.random import SecretRandom
from atoll.learning.features.binning import fit
from atoll.learning.vertical.boosting import bits, checks
from atoll.learning.vertical.boosting.api import BoostingInputs
from atoll.learning.vertical.boosting.cuts import CandidateTable, candidates, goes_left
from atoll.learning.vertical.boosting.exposure import BITS_PER_SUM
from atoll.learning.vertical.boosting.grow import REFUSALS
from atoll.learning.vertical.boosting.host import HostTrainer
from atoll.learning.vertical.boosting.loss import scale_bits
from atoll.learning.vertical.boosting.messages import (
    CandidateCuts,
    Left,
    Order,
    Start,
    TreeStart,
)
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.learning.vertical.boosting.sampling import candidate_order
from atoll.operators.histogram import NodeBound, Opened
from atoll.operators.histogram.ideal import IdealGuest, IdealHost

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
NONE_U4 = np.empty(0, dtype=np.uint32)
NONE_U1 = np.empty(0, dtype=np.uint8)
_SEED = 20
_MOST_ROWS = 1 << 20


@dataclass(frozen=True)
class WideRows(Message, kind="audit.wide_rows"):
    """All g and h of a tree, of 64 bits: what stands for ciphertexts here."""

    g: Ints = array("i8", (None,), _MOST_ROWS, reveals="every g, in the clear")
    h: Ints = array("i8", (None,), _MOST_ROWS, reveals="every h, in the clear")


class WideGuest(IdealGuest):
    """The clear histogram with weights of 64 bits. Reveals: g and h. Errors: ATL-SET-001."""

    # How many powers of two one sum takes, and the largest sum of them that can be opened.
    width: ClassVar[int] = BITS_PER_SUM
    most: ClassVar[int] = 2**63 - 1

    def publish(self, tree: int, g: npt.NDArray[Any], h: npt.NDArray[Any]) -> None:
        """Send int64[n] g and h."""
        for host in self._party.hosts:
            self._party.channel.send(host, "histogram/rows", WideRows(g, h))


class Opener(Protocol):
    """A guest's side of the histogram, with the powers of two that it can hide and open."""

    width: ClassVar[int]
    most: ClassVar[int]

    def start(self) -> None:
        """Send a key."""
        ...

    def publish(self, tree: int, g: npt.NDArray[Any], h: npt.NDArray[Any]) -> None:
        """Hide int64[n] g and h and send them."""
        ...

    def collect(self, host: str, tag: str, bounds: Sequence[NodeBound]) -> list[Opened]:
        """Open the sums of each node."""
        ...


class WideHost(IdealHost):
    """Its host: sums are exact modulo 2^64. Reveals: the sums. Errors: ATL-SET-001."""

    def receive(self, tree: int, rows: int) -> None:
        """Receive int64[rows] of g and h."""
        wide = self._party.channel.receive(self._party.guest, "histogram/rows", WideRows)
        self._pairs = (wide.g, wide.h)  # type: ignore[assignment]


@dataclass(frozen=True)
class ChosenWeights:
    """What such a guest read: bits (row left of a cut) of all cuts that left the first root.

    ``read`` bits were read right, of ``total``; ``wrong`` were read wrong (noise); ``sums`` is the
    number of values that were opened, ``partition_bits`` what it says, ``ended`` the code with
    which the host ended the job, if it did.
    """

    read: int
    wrong: int
    total: int
    sums: int
    partition_bits: int
    ended: str = ""


@dataclass
class _Node:
    number: int
    rows: Ints
    candidates: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    sums: tuple[Ints, Ints] | None = None


# A node to be summed, the sibling derived from both, their parent.
_Pair = tuple[_Node, _Node | None, _Node | None]


class LyingGuest:
    """A guest that trains nothing and reads what it can; ``run`` fills ``found``.

    ``found`` lists (tree, node's rows, candidates, g, h) of the last level; ``weights`` gives the g
    and h of a tree; ``refuse`` makes it ask for whole cuts that it never adopts.
    """

    def __init__(
        self,
        party: Party,
        rows: int,
        parameters: BoostingParameters,
        sums: Opener,
        *,
        levels: int = 1,
        refuse: bool = False,
    ) -> None:
        self._party, self._rows, self._parameters = party, rows, parameters
        self._levels = levels
        self._host, self._sums, self._refuse = party.hosts[0], sums, refuse
        scale = parameters.scale_bits or scale_bits(rows)
        sigmas = checks.noise_sigmas(parameters, scale)
        self.shifts = [_shift(sigma, levels) for sigma in sigmas]
        self.groups = np.array_split(
            np.random.default_rng(_SEED).permutation(rows), 1 << (levels - 1)
        )
        self.found: list[tuple[int, Ints, Ints, Ints, Ints]] = []
        self.roots: Ints | None = None
        self.sums = self.partition_bits = 0
        self.ended = ""

    def windows(self, tree: int) -> list[tuple[Ints, Ints]]:
        """Return, of each group, the rows behind the powers in g and those behind the ones in h."""
        sizes = [self._sums.width - shift for shift in self.shifts]
        each = sum(sizes)
        found = []
        for group in self.groups:
            start = tree * each % max(len(group), 1)
            window = np.roll(group, -start)[:each]
            found.append((window[: sizes[0]], window[sizes[0] :]))
        return found

    def weights(self, tree: int) -> list[Ints]:
        """Return int64[n] that stand for g and h: powers of two of some rows, 0 of the others."""
        weights = [np.zeros(self._rows, dtype=np.int64) for _ in range(2)]
        for window in self.windows(tree):
            for part, (values, rows) in enumerate(zip(weights, window, strict=True)):
                values[rows] = np.int64(1) << (np.arange(len(rows)) + self.shifts[part])
        return weights

    def run(self) -> None:
        """Play all trees."""
        channel, parameters = self._party.channel, self._parameters
        channel.send(self._host, "start", Start(self._rows, 0, parameters.digest()))
        self._sums.start()
        for tree in range(parameters.trees):
            channel.send(self._host, "tree", TreeStart(tree, True, tree))
            self._sums.publish(tree, *self.weights(tree))
            self._tree(tree)
        channel.send(self._host, "tree", TreeStart(parameters.trees, False, parameters.trees))

    def _tree(self, tree: int) -> None:
        level: list[_Pair] = [(_Node(0, np.arange(self._rows)), None, None)]
        depth = self._levels
        for at in range(depth):
            nodes = self._gather(tree, at, level)
            asked = self._ask(tree, at, nodes) if self._refuse else 0
            level = [self._pair(node) for node in nodes] if at + 1 < depth else []
            sides = bits.pack(self._left(node) for node in nodes) if level else b""
            numbers = [node.number for node in nodes] if level else []
            grown = np.array(numbers, dtype=np.uint32)
            flags = np.zeros(asked, dtype=np.uint8)
            order = Order(tree, at, True, NONE_U4, NONE_U4, flags, grown, sides)
            self._party.channel.send(self._host, "order", order)
        for node in nodes:
            if node.sums is not None:
                self.found.append((tree, node.rows, node.candidates, *node.sums))

    def _gather(self, tree: int, depth: int, level: Sequence[_Pair]) -> list[_Node]:
        sent = self._party.channel.receive(self._host, "candidates", CandidateCuts).sent
        begin, filled = 0, []
        for summed, _, parent in level:
            known = np.arange(len(sent)) if parent is None else parent.candidates
            summed.candidates = known[sent[begin : begin + len(known)].astype(np.bool_)]
            begin += len(known)
            filled += [summed] if len(summed.candidates) else []
            if parent is None and self.roots is None:
                self.roots = summed.candidates
        most = self._sums.most
        wide = NodeBound(None, -most - 1, most, -most - 1, most)
        tag = f"{tree}/{depth}"
        replies = self._sums.collect(self._host, tag, [wide] * len(filled)) if filled else []
        for node, opened in zip(filled, replies, strict=True):
            node.sums = (opened.g, opened.h)
            self.sums += 2 * len(opened.g)
        nodes = []
        for summed, derived, parent in level:
            if derived is not None and parent is not None:
                _derive(summed, derived, parent)
            nodes += [summed] if derived is None else [summed, derived]
        return sorted(nodes, key=lambda node: node.number)

    def _left(self, node: _Node) -> Bools:
        """Split by groups: those of the left child are the first half of the node's."""
        inside = [at for at, group in enumerate(self.groups) if np.isin(group, node.rows).any()]
        first = np.concatenate([self.groups[at] for at in inside[: len(inside) // 2]])
        return np.isin(node.rows, first)

    def _pair(self, node: _Node) -> _Pair:
        left = self._left(node)
        children = [_Node(2 * node.number + 1, node.rows[left])]
        children.append(_Node(2 * node.number + 2, node.rows[~left]))
        children.sort(key=lambda child: len(child.rows))
        return children[0], children[1], node

    def _ask(self, tree: int, depth: int, nodes: Sequence[_Node]) -> int:
        """Ask for as many cuts of each node as are answered; return how many."""
        asked = 0
        for time in range(1 + REFUSALS):
            wanted = [node for node in nodes if len(node.candidates) > time]
            if not wanted:
                break
            numbers = np.array([node.number for node in wanted], dtype=np.uint32)
            cuts = np.array([node.candidates[time] for node in wanted], dtype=np.uint32)
            order = Order(tree, depth, False, numbers, cuts, NONE_U1, NONE_U4, b"")
            self._party.channel.send(self._host, "order", order)
            self._party.channel.receive(self._host, "left", Left)
            self.partition_bits += sum(len(node.rows) for node in wanted)
            asked += len(wanted)
        return asked


def _derive(summed: _Node, derived: _Node, parent: _Node) -> None:
    derived.candidates = summed.candidates
    if summed.sums is None or parent.sums is None:
        return
    at = np.searchsorted(parent.candidates, summed.candidates)
    g, h = (whole[at] - part for whole, part in zip(parent.sums, summed.sums, strict=True))
    derived.sums = (g, h)


def _shift(sigma: int, depth: int) -> int:
    """Return the lowest power that noise of this deviation leaves readable nearly always."""
    return math.ceil(math.log2(8.0 * sigma * math.sqrt(depth))) if sigma else 0


def attack(
    host: Floats, parameters: BoostingParameters, *, levels: int = 1, refuse: bool = False
) -> ChosenWeights:
    """Play a lying guest against a host with float64[rows, columns], and count what it reads.

    It grows ``levels`` of each tree: more of them read more rows, of the fewer cuts that leave
    there. It is given which cut of a tree is which of the first tree: its best case. The columns
    may miss no values. Errors: ATL-SET-001 outside tests and simulation.
    """
    liar = play(host, parameters, LyingGuest, levels=levels, refuse=refuse)
    return _count(liar, host, parameters, liar.ended)


def play(
    host: Floats, parameters: BoostingParameters, made: Callable[..., LyingGuest], **how: Any
) -> LyingGuest:
    """Play the guest that ``made`` returns against a host as shipped, and return it."""
    liars: list[LyingGuest] = []

    def entry(party: Party) -> None:
        inner = party.at("histogram")
        if party.role == Role.GUEST:
            liars.append(made(party, len(host), parameters, WideGuest(inner), **how))
            liars[0].run()
            return
        names = tuple(f"h{i}" for i in range(host.shape[1]))
        trainer = HostTrainer(party, BoostingInputs(host, names), parameters)
        trainer._sums = WideHost(inner)
        trainer.run()

    done = run({"guest": Role.GUEST, "host": Role.HOST}, entry, seed=_SEED)
    error = done.errors.get("host")
    if error is not None and not isinstance(error, AtollError):
        raise error
    liars[0].ended = "" if error is None else error.code
    return liars[0]


def _count(
    liar: LyingGuest, host: Floats, parameters: BoostingParameters, ended: str
) -> ChosenWeights:
    truth, orders = candidate_truth(host, parameters)
    known = np.full(truth.shape, -1, dtype=np.int8)
    for tree, rows, cuts, *sums in liar.found:
        names = orders[tree][cuts]
        for window in liar.windows(tree):
            if not np.isin(window[0], rows).all():
                continue
            for value, shift, group in zip(sums, liar.shifts, window, strict=True):
                whole = (value + ((1 << shift) >> 1)) >> shift
                read = (whole[:, np.newaxis] >> np.arange(len(group))) & 1
                known[names[:, np.newaxis], group] = read
    left = np.unique(orders[0][liar.roots]) if liar.roots is not None else slice(0)
    known, truth = known[left], truth[left]
    right, there = int((known == truth).sum()), int((known >= 0).sum())
    return ChosenWeights(right, there - right, truth.size, liar.sums, liar.partition_bits, ended)


def candidate_truth(host: Floats, parameters: BoostingParameters) -> tuple[Bools, list[Ints]]:
    """Return bool[cuts, rows] of all candidate cuts, and the order of them in each tree."""
    binning = fit(host, parameters.bins)
    codes = binning.encode(host)
    nothing = np.zeros(host.shape[1], dtype=np.bool_)
    table = CandidateTable.of(candidates(binning.value_bins, nothing, binning.width))
    pairs = zip(table.columns, table.cuts, strict=True)
    truth = np.array([goes_left(codes[:, j], int(c), False, binning.missing) for j, c in pairs])
    seed = SecretRandom.seeded(f"{_SEED}/host".encode()).bytes(32)
    return truth, [candidate_order(seed, tree, len(table)) for tree in range(parameters.trees)]
