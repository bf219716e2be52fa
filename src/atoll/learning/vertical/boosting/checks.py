"""What the guest checks of the hosts' sums, and how far noise may move them.

A host may send anything as a sum, also a true one with something added. So nothing that it sees may
depend on a sum, but for the one question whether the guest asks for a cut's rows: what lies outside
public bounds is left out in silence, and the exact test waits for the announced rows.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, PeerError, UserError
from atoll.learning.vertical.boosting.loss import scale_bits
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.operators.histogram import NodeBound

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
# A job checks fewer than 2^51 sums: 2^24 cuts, 2^16 nodes, g and h, 2^10 hosts.
_CHECKED_BITS = 51
_FAILURE_BITS = 40
MOST_SIGMA = 1 << 14


def noise_sigmas(parameters: BoostingParameters, bits: int) -> tuple[int, int]:
    """Return the integer standard deviations of the hosts' noise on g and h at scale 2^bits.

    h ranges over a quarter of g's range and gets a quarter of its noise. Errors: ATL-BST-003 if
    the noise is beyond what the sampler draws exactly.
    """
    if parameters.host_noise == 0.0:
        return 0, 0
    sigma = parameters.host_noise * (1 << bits)
    if sigma > MOST_SIGMA:
        raise UserError(
            "ATL-BST-003",
            f"host_noise may be at most {MOST_SIGMA / (1 << bits):g} at this number of rows",
        )
    return max(1, round(sigma)), max(1, round(sigma / 4))


def noise_bound(sigma: int, depth: int) -> int:
    """Return B(sigma, depth): no sum of a node at this depth is further off in a whole job.

    A derived node at depth d carries d + 1 independent discrete Gaussians at most, whose sum is
    sub-Gaussian with variance (d + 1) sigma^2; the bound fails with 2^-40 per job.
    """
    if sigma == 0:
        return 0
    tail = 2.0 * (_FAILURE_BITS + _CHECKED_BITS + 1) * math.log(2.0)
    return math.ceil(sigma * math.sqrt((depth + 1) * tail))


def node_bound(rows: int, cells: int, bits: int, sigmas: tuple[int, int]) -> NodeBound:
    """Return the ranges of a summed node's cells, from its public size alone.

    They must not depend on g or h: how long decryption takes is seen by the host.
    """
    slack_g, slack_h = noise_bound(sigmas[0], 0), noise_bound(sigmas[1], 0)
    g = rows << bits
    h = rows << (bits - 2)
    return NodeBound(cells, -g - slack_g, g + slack_g, -slack_h, h + slack_h)


def possible(g: Ints, h: Ints, rows: int, bits: int, slack: tuple[int, int]) -> Bools:
    """Return which sums so many rows of any labels could have, but for noise within ``slack``.

    The bounds are public, so that nothing finer decides which cuts the guest may ask for.
    """
    most_g, most_h = (rows << bits) + slack[0], (rows << (bits - 2)) + slack[1]
    fits: Bools = (np.abs(g) <= most_g) & (-slack[1] <= h) & (h <= most_h)
    return fits


def check_announced(
    host: str, sums: tuple[int, int], announced: tuple[int, int], slack: tuple[int, int]
) -> None:
    """Refuse left rows whose sums are not those of the cut. Errors: ATL-BST-007.

    This is the only check of a sum that can end a job.
    """
    if any(abs(a - b) > s for a, b, s in zip(sums, announced, slack, strict=True)):
        raise PeerError(
            "ATL-BST-007", "the announced left rows do not have the sums of their cut", party=host
        )


def check_sides(host: str, k: int, sides: tuple[int, int]) -> None:
    """Refuse a cut that the rule of k withholds, by the summed rows on its sides.

    Its refusal would let a host that sends such cuts see several choices of a node. Errors:
    ATL-BST-009.
    """
    if any(0 < rows < k for rows in sides):
        raise PeerError(
            "ATL-BST-009",
            "a cut was sent that leaves fewer rows than minimum_rows on a side",
            party=host,
            hint="an honest host withholds such cuts: compare the versions of both",
        )


def check_rows(parameters: BoostingParameters, rows: int) -> None:
    """Refuse to train on fewer rows than the minimum of a group. Errors: ATL-BST-012.

    Every party knows how many they have in common. What training on a few rows does, or that their
    labels do not let it, would show something of single labels.
    """
    if 0 < rows < parameters.minimum_rows:
        raise DataError(
            "ATL-BST-012",
            f"{rows} rows to train on are fewer than minimum_rows ({parameters.minimum_rows})",
            place="parameters.minimum_rows",
            hint="train on more rows",
        )


def check_validation(parameters: BoostingParameters, rows: int) -> None:
    """Refuse to stop early by fewer rows than the minimum of a group. Errors: ATL-BST-012.

    When training stops shows something of their labels, and hosts choose which of them go left.
    """
    if parameters.early_stopping_rounds and 0 < rows < parameters.minimum_rows:
        raise DataError(
            "ATL-BST-012",
            f"{rows} validation rows to stop early by are fewer than minimum_rows "
            f"({parameters.minimum_rows})",
            place="parameters.early_stopping_rounds",
            hint="validate on more rows, or leave early_stopping_rounds out",
        )


def check_plan(parameters: BoostingParameters, rows: int, *, validated: bool) -> None:
    """Refuse what cannot be trained on at most so many rows (0: not known), before it is agreed.

    Errors: ATL-BST-001 early stopping without ``validated`` rows, or a scale that overflows;
    ATL-BST-003 noise beyond the sampler: fewer rows mean a finer scale, so the finest counts;
    ATL-BST-012 fewer rows than a group's minimum.
    """
    check_rows(parameters, rows)
    if parameters.early_stopping_rounds and not validated:
        raise UserError("ATL-BST-001", "early stopping needs validation rows")
    noise_sigmas(parameters, parameters.scale_bits or scale_bits(1))
    if parameters.scale_bits and rows and parameters.scale_bits > scale_bits(rows):
        raise UserError(
            "ATL-BST-001",
            f"scale_bits may be at most {scale_bits(rows)} at up to {rows} rows",
            hint="leave it out: the scale then follows from the number of rows",
        )
