"""The same algorithm in the clear, on the joined columns and the same integers.

It defines what a federated run must give, bit for bit, and is written straight from the rules:
every node's sums are taken again, nothing is derived, no party asks another. It needs the
parties' tree seeds: by these they draw columns, and hosts the order of cuts of equal gain.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from atoll.core.random import PublicRandom
from atoll.learning.features.binning import Binning, fit
from atoll.learning.vertical.boosting.api import BoostingInputs, check_inputs
from atoll.learning.vertical.boosting.cuts import (
    CandidateTable,
    Sent,
    allowed,
    candidates,
    goes_left,
)
from atoll.learning.vertical.boosting.gain import Objective
from atoll.learning.vertical.boosting.grow import REFUSALS, threshold
from atoll.learning.vertical.boosting.loss import base_margin, gradients, log_loss, scale_bits
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.learning.vertical.boosting.sampling import candidate_order, sample_columns, sample_rows
from atoll.models.boosting import GuestPart, HostPart, Split, Tree, scoring

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """Everything that a run depends on, in one place: the guest first, then hosts by name.

    ``seeds`` are the parties' 32-byte tree seeds; ``public`` and ``step`` give the samples of rows;
    ``model`` is the id that the parts will carry.
    """

    names: tuple[str, ...]
    inputs: dict[str, BoostingInputs]
    parameters: BoostingParameters
    public: PublicRandom
    step: str
    seeds: dict[str, bytes]
    model: str


@dataclass
class CentralisedResult:
    """The parts, the guest's margins, its validation losses, and each host's observed counts."""

    guest: GuestPart
    hosts: dict[str, HostPart]
    margin: Floats
    losses: list[float]
    observed: dict[str, dict[str, list[int]]]
    refused: int


@dataclass
class _Owner:
    """One party's columns within one tree."""

    name: str
    binning: Binning
    codes: npt.NDArray[np.uint8]
    columns: npt.NDArray[np.uint32]
    every: Sent
    table: CandidateTable


@dataclass
class _Node:
    """A node: its rows, and per host the cuts that may leave."""

    rows: Ints
    summed: Ints
    sent: dict[str, Sent] = field(default_factory=dict)
    children: tuple[_Node, _Node] | None = None
    owner: int = -1
    split: int = 0
    number: int = 0
    weight: float = 0.0
    gain: float = 0.0


@dataclass(frozen=True)
class _Choice:
    """A split that was made: owner, meaning, the rows that go left."""

    owner: int
    column: int
    cut: int
    missing_left: bool
    left: Bools
    gain: float


class _Run:
    def __init__(self, world: World) -> None:
        self.world = world
        guest = world.inputs[world.names[0]]
        self.label = guest.label if guest.label is not None else np.empty(0)
        self.rows = len(self.label)
        self.bits = world.parameters.scale_bits or scale_bits(self.rows)
        p = world.parameters
        self.objective = Objective(
            2.0**-self.bits, p.reg_lambda, p.gamma, p.minimum_child_weight, p.learning_rate
        )
        self.binnings = {n: fit(world.inputs[n].features, p.bins) for n in world.names}
        self.codes = {n: self.binnings[n].encode(world.inputs[n].features) for n in world.names}
        self.splits: dict[str, list[Split]] = {n: [] for n in world.names}
        self.observed: dict[str, dict[str, list[int]]] = {
            n: defaultdict(list) for n in world.names[1:]
        }
        self.refused = 0
        self.number = 0
        self.g: Ints = np.zeros(self.rows, dtype=np.int64)
        self.h: Ints = np.zeros(self.rows, dtype=np.int64)
        self.inside: Bools = np.ones(self.rows, dtype=np.bool_)

    def note(self, host: str, **counts: int) -> None:
        for name, count in counts.items():
            self.observed[host][name].append(count)

    # One tree.

    def owners(self, number: int) -> list[_Owner]:
        world, found = self.world, []
        for at, name in enumerate(world.names):
            binning, codes = self.binnings[name], self.codes[name]
            rate, count = world.parameters.column_sample, codes.shape[1]
            columns = sample_columns(world.seeds[name], number, count, rate)
            missing = (codes == binning.missing).any(axis=0)
            every = candidates(binning.value_bins[columns], missing[columns], binning.width)
            table = CandidateTable.of(every)
            if at:
                table = CandidateTable.of(
                    every, candidate_order(world.seeds[name], number, len(table))
                )
            found.append(_Owner(name, binning, codes[:, columns], columns, every, table))
        return found

    def tree(self, number: int, margin: Floats) -> _Node:
        world, self.number = self.world, number
        sample = sample_rows(
            world.public, world.step, number, self.rows, world.parameters.row_sample
        )
        self.inside = np.isin(np.arange(self.rows), sample)
        g, h = gradients(margin, self.label, self.bits)
        self.g, self.h = g.astype(np.int64), h.astype(np.int64)
        owners = self.owners(number)
        root = self.node(np.arange(self.rows))
        for owner in owners[1:]:
            self.note(owner.name, tree_starts=1, tree_rows=len(sample))
        pairs: list[tuple[_Node, _Node | None, _Node | None]] = [(root, None, None)]
        for depth in range(world.parameters.depth):
            if not pairs:
                break
            for owner in owners[1:]:
                self.send(owner, pairs)
            level = [node for pair in pairs for node in self.able(pair)]
            pairs = self.level(owners, level, last=depth + 1 == world.parameters.depth)
        return root

    def able(self, pair: tuple[_Node, _Node | None, _Node | None]) -> list[_Node]:
        node, sibling, parent = pair
        if parent is None or parent.children is None or sibling is None:
            return [node]
        return [child for child in parent.children if self.splittable(child)]

    def splittable(self, node: _Node) -> bool:
        leaf = self.world.parameters.leaf_rows
        return self.objective.splittable(int(self.h[node.summed].sum()), len(node.summed), leaf)

    def node(self, rows: Ints) -> _Node:
        summed = rows[self.inside[rows]]
        weight = self.objective.weight(int(self.g[summed].sum()), int(self.h[summed].sum()))
        return _Node(rows, summed, weight=weight)

    def send(self, owner: _Owner, pairs: list[tuple[_Node, _Node | None, _Node | None]]) -> None:
        """Work out which cuts this host sends of each node and, with it, of its sibling."""
        k = self.world.parameters.minimum_rows
        considered = 0
        for node, sibling, parent in pairs:
            counts = [self.counts(owner, n) for n in (node, sibling) if n is not None]
            before = parent.sent[owner.name] if parent else owner.every
            sent = allowed(np.stack(counts), before, k)
            node.sent[owner.name] = sent
            if sibling is not None:
                sibling.sent[owner.name] = sent
            considered += int(before.cut.sum() + before.missing_left.sum())
            if sent.cut.any():
                self.note(owner.name, cells=int(sent.cut.sum() + sent.missing_left.sum()))
        self.note(owner.name, candidates=considered)

    def counts(self, owner: _Owner, node: _Node) -> Ints:
        cells = np.zeros((owner.codes.shape[1], owner.binning.width), dtype=np.int64)
        for column in range(owner.codes.shape[1]):
            np.add.at(cells[column], owner.codes[node.summed, column], 1)
        return cells

    # One level.

    def level(
        self, owners: list[_Owner], level: list[_Node], *, last: bool
    ) -> list[tuple[_Node, _Node | None, _Node | None]]:
        choices = self.choose(owners, level)
        pairs: list[tuple[_Node, _Node | None, _Node | None]] = []
        bytes_due: dict[str, int] = dict.fromkeys(self.world.names[1:], 0)
        for at, node in enumerate(level):
            choice = choices.get(at)
            if choice is None:
                continue
            left, right = self.divide(owners[choice.owner], node, choice)
            if last or not (self.splittable(left) or self.splittable(right)):
                continue
            small = left if len(left.summed) <= len(right.summed) else right
            pairs.append((small, right if small is left else left, node))
            for host in bytes_due:
                if host != owners[choice.owner].name:
                    bytes_due[host] += -(-len(node.rows) // 8)
        for host, size in bytes_due.items():
            self.note(host, grown=len(pairs), partition_bytes=size)
        return pairs

    def choose(self, owners: list[_Owner], level: list[_Node]) -> dict[int, _Choice]:
        found: dict[int, _Choice] = {}
        asked: dict[tuple[str, int], int] = defaultdict(int)
        accepted: dict[str, int] = dict.fromkeys(self.world.names[1:], 0)
        for at, node in enumerate(level):
            refused = 0
            for owner, candidate, gain in self.ranked(owners, node):
                if owner:
                    asked[owners[owner].name, refused] += 1
                    name = owners[owner].name
                    accepted[name] += 1
                    self.note(name, left_bytes=-(-len(node.rows) // 8))
                column, cut, missing_left = owners[owner].table.meaning(candidate)
                codes = owners[owner].codes[node.rows, column]
                left = goes_left(codes, cut, missing_left, owners[owner].binning.missing)
                if self.admits(node.rows[left]) and self.admits(node.rows[~left]):
                    real = int(owners[owner].columns[column])
                    found[at] = _Choice(owner, real, cut, missing_left, left, gain)
                    break
                if owner:
                    refused += 1
                    self.refused += 1
                    if refused > REFUSALS:
                        break
        for (host, _), count in asked.items():
            self.note(host, asked=count)
        for host, count in accepted.items():
            self.note(host, accepted=count)
        return found

    def admits(self, rows: Ints) -> bool:
        rows = rows[self.inside[rows]]
        ones = int(self.label[rows].sum())
        p = self.world.parameters
        return len(rows) >= p.leaf_rows and min(ones, len(rows) - ones) >= p.minimum_class_rows

    def ranked(self, owners: list[_Owner], node: _Node) -> list[tuple[int, int, float]]:
        """Return (owner, candidate, gain) of every possible split of a node, the best first."""
        g, h = self.g[node.summed], self.h[node.summed]
        found: list[tuple[float, int, int]] = []
        for at, owner in enumerate(owners):
            candidates = owner.table.candidates(node.sent[owner.name] if at else owner.every)
            left_g, left_h = (self.left_sums(owner, node, v, candidates) for v in (g, h))
            gains = self.objective.gains(left_g, left_h, int(g.sum()), int(h.sum()))
            for candidate, gain in zip(candidates.tolist(), gains.tolist(), strict=True):
                if gain > -np.inf:
                    found.append((-gain, at, candidate))
        return [(at, candidate, -loss) for loss, at, candidate in sorted(found)]

    def left_sums(self, owner: _Owner, node: _Node, values: Ints, candidates: Ints) -> Ints:
        width = owner.binning.width
        cells = np.zeros((owner.codes.shape[1], width), dtype=np.int64)
        for column in range(owner.codes.shape[1]):
            np.add.at(cells[column], owner.codes[node.summed, column], values)
        at = owner.table.order[candidates]
        columns, cuts, missing_left = (
            a[at] for a in (owner.table.columns, owner.table.cuts, owner.table.missing_left)
        )
        left: Ints = cells.cumsum(axis=1)[columns, cuts] + missing_left * cells[columns, width - 1]
        return left

    def divide(self, owner: _Owner, node: _Node, choice: _Choice) -> tuple[_Node, _Node]:
        value = threshold(owner.binning.thresholds[choice.column], choice.cut)
        splits = self.splits[owner.name]
        node.owner, node.split, node.gain = choice.owner, len(splits), choice.gain
        splits.append(
            Split(
                column=choice.column,
                threshold=value,
                missing_left=choice.missing_left,
                tree=self.number if choice.owner else None,
                node=node.number if choice.owner else None,
            )
        )
        left, right = self.node(node.rows[choice.left]), self.node(node.rows[~choice.left])
        left.number, right.number = 2 * node.number + 1, 2 * node.number + 2
        node.children = (left, right)
        return left, right

    def note_validation(self, host: str, part: GuestPart, rows: int) -> None:
        """Count the bits that a host sends for its splits of the last tree."""
        splits = part.trees[-1].owner.count(1 + part.hosts.index(host))
        if splits:
            self.note(host, validation_bytes=splits * -(-rows // 8))


def _arrays(root: _Node) -> Tree:
    """Lay out a tree breadth first."""
    nodes = [root]
    left, right = [], []
    for node in nodes:
        at = len(nodes)
        left.append(at if node.children else 0)
        right.append(at + 1 if node.children else 0)
        nodes.extend(node.children or ())
    return Tree(
        owner=tuple(n.owner for n in nodes),
        split=tuple(n.split for n in nodes),
        left=tuple(left),
        right=tuple(right),
        weight=tuple(0.0 if n.children else n.weight for n in nodes),
        gain=tuple(n.gain for n in nodes),
        rows=tuple(len(n.summed) for n in nodes),
    )


def _leaves(node: _Node) -> list[_Node]:
    if node.children is None:
        return [node]
    return _leaves(node.children[0]) + _leaves(node.children[1])


def train_in_the_clear(world: World) -> CentralisedResult:
    """Train on the joined columns. Reveals: everything to whoever runs it; for tests.

    Errors: ATL-BIN-001 and ATL-BIN-002 of the bins, those of ``check_inputs``.
    """
    checked = {
        name: check_inputs(inputs, labelled=name == world.names[0])
        for name, inputs in world.inputs.items()
    }
    run = _Run(replace(world, inputs=checked))
    world = run.world
    parameters = world.parameters
    base = base_margin(run.label, parameters.base_score)
    margin = best = np.full(run.rows, base)
    trees: list[Tree] = []
    losses: list[float] = []
    for number in range(parameters.trees):
        root = run.tree(number, margin)
        for leaf in _leaves(root):
            margin[leaf.rows] += leaf.weight
        trees.append(_arrays(root))
        part = _guest_part(run, base, trees)
        losses += _validation_loss(run, part)
        if losses and int(np.argmin(losses)) == number:
            best = margin.copy()
        patience = parameters.early_stopping_rounds
        if patience and len(losses) - int(np.argmin(losses)) > patience:
            break
    for host in world.names[1:]:
        run.note(host, tree_starts=1)
    kept = int(np.argmin(losses)) + 1 if parameters.early_stopping_rounds else len(trees)
    part = _guest_part(run, base, trees[:kept])
    sizes = dict(zip(part.hosts, part.host_splits, strict=True))
    hosts = {
        name: HostPart(
            model=world.model,
            party=name,
            guest=world.names[0],
            columns=world.inputs[name].names,
            splits=tuple(run.splits[name][: sizes[name]]),
        )
        for name in world.names[1:]
    }
    observed = {host: dict(lists) for host, lists in run.observed.items()}
    final = best if kept < len(trees) else margin
    return CentralisedResult(part, hosts, final, losses, observed, run.refused)


def _guest_part(run: _Run, base: float, trees: list[Tree]) -> GuestPart:
    world = run.world
    owners = [owner for tree in trees for owner in tree.owner]
    return GuestPart(
        model=world.model,
        party=world.names[0],
        hosts=world.names[1:],
        columns=world.inputs[world.names[0]].names,
        base_margin=base,
        splits=tuple(run.splits[world.names[0]][: owners.count(0)]),
        host_splits=tuple(owners.count(at) for at in range(1, len(world.names))),
        trees=tuple(trees),
    )


def _validation_loss(run: _Run, part: GuestPart) -> list[float]:
    """Return the loss on the validation rows, as a list that is empty without any."""
    guest = run.world.inputs[part.party].validation
    if guest is None or guest.label is None:
        return []
    blocks = [scoring.goes_left(tuple(run.splits[part.party]), guest.features)]
    for host in part.hosts:
        held_out = run.world.inputs[host].validation
        features = guest.features if held_out is None else held_out.features
        blocks.append(scoring.goes_left(tuple(run.splits[host]), features))
        run.note_validation(host, part, len(features))
    return [log_loss(scoring.margins(part, np.concatenate(blocks)), guest.label)]
