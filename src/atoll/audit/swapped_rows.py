"""What a host learns about single labels that announces other rows than those of its true sums.

The guest is as shipped, the host's sums are true. Asked for a cut, the host swaps rows whose labels
it does not know with rows of label 0 that it knows. In the first tree the guest goes on exactly if
none of the unknown rows has label 1; else its exact test ends the job.

With ``host_noise`` the host adds no noise, but a shift of the test's bound less half a label, and
moves unknown rows to the left alone: then the test, which allows what noise could have done, is as
sharp.
"""

from __future__ import annotations

from collections.abc import Sequence
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

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass
class Known:
    """What the host knows: the labels of rows, which rows it gave up, and its present questions.

    Each question lists the unknown rows that were swapped in one message, ``together`` of each node
    at most: the host does not see at which node the guest stops.
    """

    labels: dict[int, int]
    together: int
    given_up: set[int] = field(default_factory=set)
    questions: list[list[int]] = field(default_factory=list)

    def learn(self, *, ended: bool) -> None:
        """Draw the conclusions of a job: the guest went on after all questions but the last."""
        self.questions = [rows for rows in self.questions if rows]
        passed, last = self.questions, list[int]()
        if ended:
            *passed, last = self.questions
        self.labels |= {row: 0 for asked in passed for row in asked}
        if len(last) == 1:
            self.labels[last[0]] = 1
        else:
            self.given_up |= set(last)
        self.questions = []

    def swap(self, rows: npt.NDArray[np.uint32], side: Bools, *, leftwards: bool) -> Bools:
        """Return other left rows of a node, as many, and note what was asked by it."""
        made, asked = side.copy(), list[int]()
        state = [self._state(int(row)) for row in rows]
        for at in (True,) if leftwards else (True, False):
            zeros = [i for i, known in enumerate(state) if known == 0 and side[i] == at]
            unknown = [i for i, known in enumerate(state) if known is None and side[i] != at]
            pairs = list(zip(unknown, zeros, strict=False))[: self.together - len(asked)]
            for i, j in pairs:
                made[i], made[j] = made[j], made[i]
                asked.append(int(rows[i]))
        self.questions[-1] += asked
        return made

    def _state(self, row: int) -> int | None:
        present = {row for asked in self.questions for row in asked}
        if row in self.given_up or row in present:
            return -1
        return self.labels.get(row)


class _Swapping(HostTrainer):
    known: Known

    def _side(self, tree: Any, place: Any, candidate: int) -> Any:
        side = super()._side(tree, place, candidate)
        noisy = bool(self._noise)
        if tree.number or (noisy and place.number):
            return side
        return self.known.swap(place.rows, side, leftwards=noisy)

    def _announce(self, *given: Any) -> None:
        self.known.questions.append([])
        super()._announce(*given)

    def _draw(self, nodes: list[NodeCuts]) -> list[Sums] | None:
        if not self._noise:
            return None
        scale = self._parameters.scale_bits or scale_bits(self._rows)
        shift = noise_bound(noise_sigmas(self._parameters, scale)[0], 0) - (1 << (scale - 1))
        root = len(nodes[0].rows) == self._rows
        nothing = [np.zeros(len(node.cuts), dtype=np.int64) for node in nodes]
        return [(zeros + shift * root, zeros) for zeros in nothing]


@dataclass(frozen=True)
class Swapped:
    """After ``jobs``, of which ``ended`` ended: how many labels the host has, how many wrongly."""

    jobs: int
    ended: int
    labels: int
    wrong: int
    codes: tuple[str, ...]


def attack(
    guest: Floats,
    host: Floats,
    label: Floats,
    parameters: BoostingParameters,
    jobs: int,
    *,
    own: Sequence[int],
    together: int = 4,
) -> Swapped:
    """Train again and again with a host that swaps rows; ``own`` are rows of label 0 it knows.

    ``guest``, ``host``: float64[rows, columns]. Errors: ATL-SET-001 outside tests and simulation.
    """
    known = Known(dict.fromkeys(own, 0), together)
    codes: list[str] = []
    for seed in range(jobs):
        code = _job(guest, host, label, parameters, known, seed)
        known.learn(ended=bool(code))
        codes += [code] if code else []
    found = {row: value for row, value in known.labels.items() if row not in own}
    wrong = sum(label[row] != value for row, value in found.items())
    return Swapped(jobs, len(codes), len(found), int(wrong), tuple(sorted(set(codes))))


def _job(
    guest: Floats,
    host: Floats,
    label: Floats,
    parameters: BoostingParameters,
    known: Known,
    seed: int,
) -> str:
    def entry(party: Party) -> None:
        if party.role == Role.GUEST:
            names = tuple(f"g{i}" for i in range(guest.shape[1]))
            GuestTrainer(party, BoostingInputs(guest, names, label), parameters).run()
            return
        names = tuple(f"h{i}" for i in range(host.shape[1]))
        trainer = _Swapping(party, BoostingInputs(host, names), parameters)
        trainer.known = known
        trainer.run()

    roles = {"guest": Role.GUEST, "host": Role.HOST}
    error = run(roles, entry, seed=seed).errors.get("guest")
    if error is not None and not isinstance(error, AtollError):
        raise error
    return "" if error is None else error.code
