"""The reconstruction attack against a simulated run of vertical boosting.

``audit.figures`` measures its success, and that of parties that lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.audit.reconstruction import NodeView, Success, TreeView, attack
from atoll.channel.party import Party
from atoll.channel.world import run
from atoll.core.names import Role
from atoll.core.random import SecretRandom
from atoll.learning.features.binning import fit
from atoll.learning.vertical.boosting.api import BoostingInputs
from atoll.learning.vertical.boosting.cuts import CandidateTable, candidates, goes_left
from atoll.learning.vertical.boosting.exchange import HostCalls, Pair
from atoll.learning.vertical.boosting.guest import GuestTrainer
from atoll.learning.vertical.boosting.host import HostTrainer
from atoll.learning.vertical.boosting.loss import scale_bits
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.learning.vertical.boosting.sampling import candidate_order

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_SEED = 20


@dataclass(frozen=True)
class Observation:
    """What the guest saw, and what it would like to know: bool[cuts, rows] and the true links."""

    trees: list[TreeView]
    truth: Bools
    links: list[Ints]


class _Watching(HostCalls):
    """Keeps what passes: each tree's g and h, each summed node's rows, candidates and sums."""

    seen: list[TreeView]

    def publish(self, tree: int, g: npt.NDArray[np.int32], h: npt.NDArray[np.int32]) -> None:
        super().publish(tree, g, h)
        self.seen.append(TreeView(g.astype(np.int64), h.astype(np.int64), 0))

    def gather(self, tree: int, depth: int, pairs: Sequence[Pair]) -> None:
        super().gather(tree, depth, pairs)
        for pair in pairs:
            node, sums = pair.summed, pair.summed.sums[self.hosts[0]]
            rows = node.place.summed.astype(np.int64)
            self.seen[-1].nodes.append(NodeView(rows, sums.candidates, sums.g, sums.h))


def observe(
    guest: Floats, host: Floats, label: Floats, parameters: BoostingParameters
) -> Observation:
    """Train on float64[rows, columns] of a guest and one host, and return what the guest saw.

    The columns may miss no values. Errors: ATL-SET-001 outside tests and simulation.
    """
    watched: list[TreeView] = []

    class Watching(_Watching):
        seen = watched

    class Trainer(GuestTrainer):
        exchange_class = Watching

    def entry(party: Party) -> object:
        if party.role == Role.GUEST:
            names = tuple(f"g{i}" for i in range(guest.shape[1]))
            return Trainer(party, BoostingInputs(guest, names, label), parameters).run()
        names = tuple(f"h{i}" for i in range(host.shape[1]))
        return HostTrainer(party, BoostingInputs(host, names), parameters).run()

    run({"guest": Role.GUEST, "host": Role.HOST}, entry, seed=_SEED).check()
    table = _candidates(host, parameters)
    seed = SecretRandom.seeded(f"{_SEED}/host".encode()).bytes(32)
    links = [candidate_order(seed, tree, len(table)) for tree in range(len(watched))]
    for view in watched:
        view.candidates = len(table)
    return Observation(watched, _truth(host, parameters, table), links)


def _candidates(host: Floats, parameters: BoostingParameters) -> CandidateTable:
    binning = fit(host, parameters.bins)
    nothing = np.zeros(host.shape[1], dtype=np.bool_)
    return CandidateTable.of(candidates(binning.value_bins, nothing, binning.width))


def _truth(host: Floats, parameters: BoostingParameters, table: CandidateTable) -> Bools:
    binning = fit(host, parameters.bins)
    codes = binning.encode(host)
    pairs = zip(table.columns, table.cuts, strict=True)
    return np.array([goes_left(codes[:, j], int(c), False, binning.missing) for j, c in pairs])


def measure(
    guest: Floats,
    host: Floats,
    label: Floats,
    trees: int,
    k: int,
    noise: float,
    iterations: int = 200,
) -> Success:
    """Return the success of the attacker's best case for one setting (``noise``: host_noise)."""
    parameters = BoostingParameters(
        trees=trees, minimum_rows=k, host_noise=noise, implementation="ideal"
    )
    seen = observe(guest, host, label, parameters)
    added = noise * (1 << scale_bits(len(label)))
    return attack(
        seen.trees, seen.truth, seen.links, linking="known", noise=added, iterations=iterations
    )
