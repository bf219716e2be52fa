"""The guest's side of the exchange with all hosts, in the order in which their replies arrive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.errors import PeerError
from atoll.core.message import Message
from atoll.learning.vertical.boosting import bits, checks
from atoll.learning.vertical.boosting.api import Observer
from atoll.learning.vertical.boosting.columns import Totals
from atoll.learning.vertical.boosting.exposure import most_cuts
from atoll.learning.vertical.boosting.grow import TreeNode
from atoll.learning.vertical.boosting.messages import (
    CandidateCuts,
    Left,
    Order,
    Start,
    TreeStart,
    Validation,
)
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.models.boosting.scoring import unpack_rows
from atoll.operators import histogram

M = TypeVar("M", bound=Message)
Ints = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
NONE_U4 = np.empty(0, dtype=np.uint32)
NONE_U1 = np.empty(0, dtype=np.uint8)


@dataclass(frozen=True)
class HostSums:
    """The left sums of one host's cuts in one node: candidates ascending, g and h int64[m].

    ``possible``, bool[m], states which sums lie within public bounds; the others mean nothing.
    """

    candidates: Ints
    g: Ints
    h: Ints
    possible: Bools


@dataclass
class GuestNode:
    """A node as the guest knows it: rows, exact totals, own histogram, the hosts' sums."""

    place: TreeNode
    totals: Totals
    own: Ints
    sums: dict[str, HostSums] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A node to be summed; with its parent and the sibling derived from both, but for a root."""

    summed: GuestNode
    parent: GuestNode | None = None
    derived: GuestNode | None = None


@dataclass(frozen=True)
class Grown:
    """A split whose children are summed next: who owns it (a host, or "") and the left rows."""

    number: int
    owner: str
    left: Bools


class HostCalls:
    """Sends orders to every host and checks what comes back."""

    def __init__(
        self, party: Party, parameters: BoostingParameters, scale: int, sigmas: tuple[int, int]
    ) -> None:
        self.party = party
        self.hosts = party.hosts
        self.observer = Observer(self.hosts)
        self._parameters = parameters
        self._scale = scale
        self._sigmas = sigmas
        self.left_out = 0
        self._sums = histogram.guest(party.at("histogram"), parameters.implementation)

    def start(self, rows: int, validation_rows: int) -> None:
        """Send the hosts what must agree, then make the keys."""
        digest = self._parameters.digest()
        self._all(Start(rows, validation_rows, digest), "start")
        self._sums.start()

    def tree(self, tree: int, *, more: bool, kept: int) -> None:
        """Begin a tree, or end the run."""
        self._all(TreeStart(tree, more, kept), "tree")
        for host in self.hosts:
            self.observer.add(host, tree_starts=1)

    def publish(self, tree: int, g: Pairs, h: Pairs) -> None:
        """Hide a tree's g and h and send them."""
        self._sums.publish(tree, g, h)
        for host in self.hosts:
            self.observer.add(host, tree_rows=len(g))

    def gather(self, tree: int, depth: int, pairs: Sequence[Pair]) -> None:
        """Collect every host's sums of these nodes and derive their siblings'."""
        for host, message in self._any(self.hosts, "candidates", CandidateCuts):
            with _sent_by(host):
                _in_turn(message, tree, depth)
                self._fits_plan(host, message, depth)
                candidates = _sent_candidates(host, message.sent, pairs)
            self.observer.add(host, candidates=len(message.sent))
            self._collect(host, f"{tree}/{depth}", pairs, candidates)

    def _fits_plan(self, host: str, message: CandidateCuts, depth: int) -> None:
        """Refuse a root's cuts beyond those of the host's columns in the plan; below, the parents'
        cuts bound them. Errors: ATL-BST-009.
        """
        columns = self.party.columns.get(host)
        if depth or columns is None:
            return
        most, found = most_cuts(self._parameters, columns), len(message.sent)
        if found > most:
            raise PeerError(
                "ATL-BST-009", f"{found} cuts are more than {columns} columns have ({most} at most)"
            )

    def ask(
        self, tree: int, depth: int, asks: Mapping[str, Sequence[tuple[GuestNode, int]]]
    ) -> dict[int, Bools]:
        """Ask hosts for the left rows of cuts; return a side for each row, by node number."""
        for host, wanted in asks.items():
            nodes = np.array([node.place.number for node, _ in wanted], dtype=np.uint32)
            candidates = np.array([candidate for _, candidate in wanted], dtype=np.uint32)
            order = Order(tree, depth, False, nodes, candidates, NONE_U1, NONE_U4, b"")
            self.party.channel.send(host, "order", order)
        found: dict[int, Bools] = {}
        for host, message in self._any(tuple(asks), "left", Left):
            rows = [len(node.place.rows) for node, _ in asks[host]]
            with _sent_by(host):
                _in_turn(message, tree, depth)
                sides = bits.unpack(message.partition, rows)
            for (node, _), side in zip(asks[host], sides, strict=True):
                found[node.place.number] = side
            size = sum(map(bits.size, rows))
            self.observer.add(host, asked=len(rows), left_bytes=size)
        return found

    def settle(
        self, tree: int, depth: int, accepted: Mapping[str, Sequence[bool]], grown: Sequence[Grown]
    ) -> None:
        """Send each host which of its partitions were adopted, and which nodes grow on."""
        numbers = np.array([split.number for split in grown], dtype=np.uint32)
        for host in self.hosts:
            flags = np.array(accepted.get(host, ()), dtype=np.uint8)
            partition = bits.pack(split.left for split in grown if split.owner != host)
            order = Order(tree, depth, True, NONE_U4, NONE_U4, flags, numbers, partition)
            self.party.channel.send(host, "order", order)
            size = sum(bits.size(len(s.left)) for s in grown if s.owner != host)
            self.observer.add(host, accepted=len(flags), grown=len(grown), partition_bytes=size)

    def validation(self, tree: int, splits: Mapping[str, int], rows: int) -> dict[str, Bools]:
        """Collect bool[splits, rows] of the validation rows from the hosts that split this tree."""
        found: dict[str, Bools] = {}
        for host, message in self._any(tuple(splits), "validation", Validation):
            with _sent_by(host):
                _in_turn(message, tree, None)
                found[host] = unpack_rows(message.bits, splits[host], rows)
            self.observer.add(host, validation_bytes=len(message.bits))
        return found

    def slack(self, depth: int) -> tuple[int, int]:
        """Return how far noise may move g and h of a node at this depth."""
        g, h = self._sigmas
        return checks.noise_bound(g, depth), checks.noise_bound(h, depth)

    def _collect(self, host: str, tag: str, pairs: Sequence[Pair], candidates: list[Ints]) -> None:
        filled = [pair for pair, sent in zip(pairs, candidates, strict=True) if len(sent)]
        cells = [len(sent) for sent in candidates if len(sent)]
        bounds = [
            checks.node_bound(len(pair.summed.place.summed), count, self._scale, self._sigmas)
            for pair, count in zip(filled, cells, strict=True)
        ]
        replies = iter(self._sums.collect(host, tag, bounds) if filled else ())
        for pair, sent in zip(pairs, candidates, strict=True):
            self._keep(host, pair, sent, next(replies) if len(sent) else histogram.NOTHING)
        self.observer.reply(host, cells)

    def _keep(self, host: str, pair: Pair, candidates: Ints, opened: histogram.Opened) -> None:
        g, h, inside = opened
        pair.summed.sums[host] = HostSums(candidates, g, h, inside)
        self.left_out += int((~inside).sum())
        if pair.parent is None or pair.derived is None:
            return
        whole = pair.parent.sums[host]
        at = np.searchsorted(whole.candidates, candidates)
        rest_g, rest_h = whole.g[at] - g, whole.h[at] - h
        place = pair.derived.place
        slack = self.slack(place.depth)
        fits = checks.possible(rest_g, rest_h, len(place.summed), self._scale, slack)
        fits &= inside & whole.possible[at]
        pair.derived.sums[host] = HostSums(candidates, rest_g, rest_h, fits)
        self.left_out += int((~fits).sum())

    def _all(self, make: Message, tag: str) -> None:
        for host in self.hosts:
            self.party.channel.send(host, tag, make)

    def _any(self, hosts: Sequence[str], tag: str, kind: type[M]) -> Iterator[tuple[str, M]]:
        waiting = list(hosts)
        while waiting:
            self.party.cancel.check()
            host, message = self.party.channel.receive_any(waiting, tag, kind)
            waiting.remove(host)
            yield host, message


@contextmanager
def _sent_by(host: str) -> Iterator[None]:
    """Name the host in errors about what it sent."""
    try:
        yield
    except PeerError as error:
        raise error.located(party=host) from error.__cause__


def _in_turn(message: CandidateCuts | Left | Validation, tree: int, depth: int | None) -> None:
    if message.tree != tree or getattr(message, "depth", None) != depth:
        raise PeerError("ATL-BST-009", f"a {message.kind} message is out of turn")


def _sent_candidates(host: str, sent: npt.NDArray[np.uint8], pairs: Sequence[Pair]) -> list[Ints]:
    """Read which cuts of each parent are sent. Errors: ATL-BST-009 unless they fit the parents."""
    if sent.size and sent.max() > 1:
        raise PeerError("ATL-BST-009", "a cut is either sent or withheld")
    found, begin = [], 0
    for pair in pairs:
        if pair.parent is None:
            return [np.flatnonzero(sent)]
        known = pair.parent.sums[host].candidates
        flags = sent[begin : begin + len(known)]
        begin += len(known)
        if len(flags) != len(known):
            break
        found.append(known[flags.astype(np.bool_)])
    if begin != len(sent):
        raise PeerError("ATL-BST-009", "the cuts that are sent do not fit those of the parents")
    return found
