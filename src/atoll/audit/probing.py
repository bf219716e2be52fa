"""What a host learns about the guest's labels that sends sums of its own making.

The guest is as shipped. The host's sums at the first root are constants, or the true ones with
something added, and the host watches what the guest does. Whether a sum is in range shows in
nothing; the one thing that shows is for which cut the guest asks, and then its exact test ends the
job.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.channel.world import run
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.learning.vertical.boosting.api import BoostingInputs
from atoll.learning.vertical.boosting.checks import noise_bound, noise_sigmas
from atoll.learning.vertical.boosting.guest import GuestTrainer
from atoll.learning.vertical.boosting.host import HostTrainer
from atoll.learning.vertical.boosting.loss import scale_bits
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.operators.histogram import NodeCuts
from atoll.operators.histogram.api import Sums
from atoll.operators.histogram.ideal import IdealHost, left_sums

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
STEPS = 19
_SET = 45
# From the true sums of the root's cuts to those that are sent.
Falsify = Callable[[Ints, Ints], Sums]


@dataclass
class Watched:
    """What the host saw: the cut of the first root that was asked for, the code that ended it."""

    asked: int | None = None
    ended: str = ""
    cuts: int = field(default=0, compare=False)


class _FalseSums(IdealHost):
    """Sends other sums of the first root."""

    def __init__(self, party: Party, falsify: Falsify, seen: Watched) -> None:
        super().__init__(party)
        self.falsify, self._seen = falsify, seen

    def reply(
        self,
        tag: str,
        bins: npt.NDArray[np.uint8],
        width: int,
        nodes: Sequence[NodeCuts],
        noise: Sequence[Sums] | None = None,
    ) -> None:
        if tag == "0/0":
            true = [self._sums(bins, width, node) for node in nodes]
            noise = [
                (g - old_g, h - old_h)
                for (g, h), (old_g, old_h) in zip(
                    (self.falsify(*pair) for pair in true), true, strict=True
                )
            ]
            self._seen.cuts = sum(len(node.columns) for node in nodes)
        super().reply(tag, bins, width, nodes, noise)

    def _sums(self, bins: npt.NDArray[np.uint8], width: int, node: NodeCuts) -> Sums:
        pairs = self._pairs if self._pairs is not None else ()
        g, h = (left_sums(values, bins, width, node) for values in pairs)
        return g, h


class _Watching(HostTrainer):
    seen: Watched

    def _announce(self, tree: Any, depth: int, order: Any, level: Any, asked: Any) -> None:
        if tree.number == depth == 0:
            at = np.flatnonzero(order.ask_nodes == 0)
            cut = int(order.ask_candidates[at[0]])
            self.seen.asked = int(np.searchsorted(level[0].candidates, cut))
        super()._announce(tree, depth, order, level, asked)


def watch(
    guest: Floats,
    host: Floats,
    label: Floats,
    parameters: BoostingParameters,
    falsify: Falsify,
    kind: type[_Watching] = _Watching,
) -> Watched:
    """Train with a host whose sums of the first root are ``falsify``'s, and return what it saw.

    ``guest``, ``host``: float64[rows, columns]. Errors: ATL-SET-001 outside tests and simulation.
    """
    seen = Watched()

    def entry(party: Party) -> None:
        if party.role == Role.GUEST:
            names = tuple(f"g{i}" for i in range(guest.shape[1]))
            GuestTrainer(party, BoostingInputs(guest, names, label), parameters).run()
            return
        names = tuple(f"h{i}" for i in range(host.shape[1]))
        trainer = kind(party, BoostingInputs(host, names), parameters)
        trainer.seen = seen
        trainer._sums = _FalseSums(party.at("histogram"), falsify, seen)
        trainer.run()

    error = run({"guest": Role.GUEST, "host": Role.HOST}, entry, seed=20).errors.get("guest")
    if error is not None and not isinstance(error, AtollError):
        raise error
    seen.ended = "" if error is None else error.code
    return seen


def by_range(
    guest: Floats, host: Floats, label: Floats, parameters: BoostingParameters, steps: int = STEPS
) -> int:
    """Return how many different things the host sees when it tries sums all over the range of h.

    One means that it learns nothing: constants, and true sums with as much added. ``parameters``
    are of depth 1, since what is derived from false sums is false as well.
    """
    top = len(label) << (scale_bits(len(label)) - 2)
    found = set()
    for value in np.linspace(-top, 2 * top, steps).astype(np.int64):
        # Without a gain of its own no cut is asked for, so what is left is whether the job ends.
        for true in (0, 1):
            falsify = functools.partial(_shifted, true, int(value))
            seen = watch(guest, host, label, parameters, falsify)
            found.add((seen.asked, seen.ended))
    return len(found)


def _shifted(true: int, value: int, g: Ints, h: Ints) -> Sums:
    """Return sums of h that are ``value``, or the true ones with as much added; g is nothing."""
    return np.zeros_like(g), true * h + value


class _Rising:
    """Constants over a range of h, with a g that makes the largest that is allowed the best."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high
        self.sent: Ints = np.empty(0, dtype=np.int64)

    def __call__(self, g: Ints, h: Ints) -> Sums:
        steps = np.linspace(self._low, self._high, len(h)).astype(np.int64)
        self.sent = np.maximum(steps, 1)
        return 4 * self.sent, self.sent


@dataclass(frozen=True)
class Questions:
    """How a host found the number of positives by which of its cuts was asked for.

    ``jobs`` were ended by the guest, each with ``cuts`` sums; ``candidates`` are the numbers that
    fit what it saw: a number and its mirror at the end.
    """

    jobs: int
    cuts: int
    codes: tuple[str, ...]
    candidates: tuple[int, ...]


def by_question(
    guest: Floats, host: Floats, label: Floats, parameters: BoostingParameters, most: int = 10
) -> Questions:
    """Let a host find out the number of positives with sums of which the largest allowed wins.

    In the first tree all h are equal, and a cut is allowed if it leaves the least child weight.
    """
    rows, scale = len(label), scale_bits(len(label))
    least = int(parameters.minimum_child_weight * (1 << scale))
    share = np.arange(1, rows) / rows
    totals = rows * np.rint(share * (1.0 - share) * (1 << scale)).astype(np.int64)
    fits = np.ones(rows - 1, dtype=np.bool_)
    codes: list[str] = []
    cuts = 0
    while len(codes) < most and len(np.unique(totals[fits])) > 1:
        rising = _Rising(int(totals[fits].min()) - least, int(totals[fits].max()) - least)
        seen = watch(guest, host, label, parameters, rising)
        codes.append(seen.ended)
        cuts = seen.cuts
        if seen.asked is None:
            break
        grid = rising.sent
        fits &= totals - least >= grid[seen.asked]
        if seen.asked + 1 < len(grid):
            fits &= totals - least < grid[seen.asked + 1]
    return Questions(len(codes), cuts, tuple(codes), tuple((np.flatnonzero(fits) + 1).tolist()))


class _Lowered:
    """The sums of one set of rows for each cut: more g and ever less h, within what noise does.

    ``at`` is the cut that has the set, of ``rows``.
    """

    at = rows = 0

    def __init__(self, most_g: int, most_h: int) -> None:
        self._most_g, self._most_h = most_g, most_h
        self.steps: Ints = np.empty(0, dtype=np.int64)

    def __call__(self, g: Ints, h: Ints) -> Sums:
        self.steps = np.linspace(0, self._most_h, len(h)).astype(np.int64)
        return np.full_like(g, g[self.at] + self._most_g), h[self.at] - self.steps


class _OneSet(_Watching):
    """Announces the same rows, whichever cut of the first root is asked for."""

    _candidate = -1

    def _reply(self, tree: Any, depth: int, pairs: Any) -> Any:
        if tree.number == depth == 0:
            root = pairs[0].summed
            sent = self._choose(tree, pairs[0])[0].candidates
            sizes = [int(super(_OneSet, self)._side(tree, root, int(c)).sum()) for c in sent]
            at = int(np.argmin(np.abs(np.array(sizes) - _SET)))
            sums: Any = self._sums
            sums.falsify.at, sums.falsify.rows = at, sizes[at]
            self._candidate = int(sent[at])
        return super()._reply(tree, depth, pairs)

    def _side(self, tree: Any, place: Any, candidate: int) -> Any:
        first = tree.number == place.number == 0
        return super()._side(tree, place, self._candidate if first else candidate)


def within_noise(
    guest: Floats, host: Floats, label: Floats, parameters: BoostingParameters
) -> Questions:
    """Let a host find out the number of positives with sums that noise could have made.

    They end no job: of the same rows for each cut, with ever less h, of which the guest asks for
    the least that it may adopt.
    """
    rows, scale = len(label), parameters.scale_bits or scale_bits(len(label))
    least = int(parameters.minimum_child_weight * (1 << scale))
    lowered = _Lowered(*(noise_bound(sigma, 0) for sigma in noise_sigmas(parameters, scale)))
    seen = watch(guest, host, label, parameters, lowered, _OneSet)
    share = np.arange(1, rows) / rows
    sums = lowered.rows * np.rint(share * (1.0 - share) * (1 << scale)).astype(np.int64)
    fits = np.ones(rows - 1, dtype=np.bool_)
    if seen.asked is not None:
        steps = np.append(lowered.steps, np.iinfo(np.int64).max // 2)
        fits &= (sums - steps[seen.asked] >= least) & (sums - steps[seen.asked + 1] < least)
    ended = (seen.ended,) if seen.ended else ()
    return Questions(len(ended), seen.cuts, ended, tuple((np.flatnonzero(fits) + 1).tolist()))
