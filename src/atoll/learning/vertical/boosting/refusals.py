"""When a guest may refuse a partition, as a host can judge it: the complement of ``guest``'s rules.

A guest adopts the cut that it asked for unless a child would break the leaf minimum, lack rows of
a class, or lose its gain once the noise is out of the sums. The first a host can count itself;
without the other two nothing else is true.
"""

from __future__ import annotations

from atoll.core.errors import PeerError
from atoll.learning.vertical.boosting.grow import REFUSALS
from atoll.learning.vertical.boosting.parameters import BoostingParameters


def decidable(parameters: BoostingParameters) -> bool:
    """Whether hosts can judge each refusal: no minimum per class, no noise."""
    return parameters.minimum_class_rows == 0 and parameters.host_noise == 0.0


def most_partitions(parameters: BoostingParameters) -> int:
    """Return how many partitions of a node its hosts may announce, the adopted one included.

    Where refusals can be judged and the leaf minimum is no larger than k, there is none: a cut that
    leaves has k rows on each side of the node, or none on one and with it no gain.
    """
    if decidable(parameters) and parameters.leaf_rows <= max(parameters.minimum_rows, 1):
        return 1
    return 1 + REFUSALS


def check_asked(parameters: BoostingParameters, left: int, right: int) -> None:
    """Refuse to announce a cut without any summed row on a side, of these numbers.

    Without noise the sums show as much, and such a cut saves no loss; but rows outside a tree's
    sample may lie on both sides of it. Errors: ATL-BST-005.
    """
    if parameters.host_noise == 0.0 and min(left, right) == 0:
        raise PeerError("ATL-BST-005", "the guest asks for a cut that divides no summed row")


def judge(parameters: BoostingParameters, left: int, right: int) -> None:
    """Refuse a refusal of a cut with so many sampled rows on its sides that cannot be true.

    Errors: ATL-BST-011.
    """
    if decidable(parameters) and min(left, right) >= parameters.leaf_rows:
        raise PeerError(
            "ATL-BST-011",
            "the guest refuses a partition that it has no reason to refuse",
            hint="a guest that refuses at will sees partitions that belong to no tree",
        )
