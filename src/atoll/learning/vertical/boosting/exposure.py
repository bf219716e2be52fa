"""How much a training exposes at most, in the units that caps count, and how it is charged.

One opened sum is one value: a cut that leaves opens two, of g and of h. ``rows`` counts one for
each row of each partition or comparison that is sent: a bit. Derived siblings are not sent, so they
open nothing; partitions of refused cuts count like those of adopted ones.
"""

from __future__ import annotations

from atoll.core.exposure import OPENED_SUMS, ROWS, TREE_NODES, Exposure
from atoll.core.names import Role
from atoll.learning.vertical.boosting import bits, messages
from atoll.learning.vertical.boosting.checks import noise_sigmas
from atoll.learning.vertical.boosting.loss import scale_bits
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.learning.vertical.boosting.refusals import most_partitions
from atoll.learning.vertical.boosting.sampling import sample_size
from atoll.operators import histogram

# What one sum shows of its rows, whatever the weights: whoever makes n points can compare n^2 pairs
# of them, and so finds one of n^2 cases. These are the bits for 2^31; the group has room for 252.
BITS_PER_SUM = 62
MOST_ROWS = 1 << 31


def inner_nodes(depth: int) -> int:
    """Return the nodes of a whole tree that are split."""
    return (1 << depth) - 1


def opened_cuts(parameters: BoostingParameters, rows: int, columns: int) -> int:
    """Return how many cuts a host with so many columns sends at most; of so many rows (0: unknown).

    The cuts of a column that leave a node and its sibling have gaps of k rows or more in one of
    both, so no level has more of them than rows / k.
    """
    sampled = sample_size(rows or MOST_ROWS, parameters.row_sample)
    most = sampled // max(parameters.minimum_rows, 1)
    in_tree = 0
    for level in range(parameters.depth):
        summed = 1 if level == 0 else 1 << (level - 1)
        # Cuts with the missing rows on the right, one for each bin, and on the left.
        in_tree += min(summed * parameters.bins, most) + min(summed * (parameters.bins - 1), most)
    return parameters.trees * in_tree * sample_size(columns, parameters.column_sample)


def most_cuts(parameters: BoostingParameters, columns: int) -> int:
    """Return how many cuts a host with so many columns has at a root at most.

    Of each column: one after each bin, the last of them against the missing rows, and all but that
    one also with the missing rows on the left.
    """
    return sample_size(columns, parameters.column_sample) * (2 * parameters.bins - 1)


def bits_per_sum(parameters: BoostingParameters, rows: int) -> tuple[int, int]:
    """Return how many bits one sum of g, and one of h, can show a dishonest guest.

    By weights 2^i a bit is the side of one row; over cuts of one column, which contain each other,
    it may show that of more (``audit.nested_cuts``). Noise of standard deviation σ drowns the low
    log2 σ bits and no more.
    """
    scale = parameters.scale_bits or scale_bits(rows or MOST_ROWS)
    g, h = (BITS_PER_SUM - max(s.bit_length() - 1, 0) for s in noise_sigmas(parameters, scale))
    return g, h


def readable_bits(parameters: BoostingParameters, rows: int, columns: int) -> int:
    """Return how many bits all sums of one host can show a dishonest guest."""
    return opened_cuts(parameters, rows, columns) * sum(bits_per_sum(parameters, rows))


def readable_rows(parameters: BoostingParameters, rows: int) -> int:
    """Return of how many rows one tree shows the side of each cut by weights 2^i.

    Each of the 2^(depth - 1) nodes of the last level has sums of its own, whatever their rows.
    """
    return min(rows, sum(bits_per_sum(parameters, rows)) << (parameters.depth - 1))


def _partition_bits(rows: int, level: int) -> int:
    """Return the most bits of a partition of each node of a level, padded to whole bytes."""
    nodes = min(1 << level, rows)
    return 8 * min(bits.size(rows) + nodes, rows)


def exposure(
    parameters: BoostingParameters, rows: int, columns: int, validation_rows: int = 0
) -> tuple[Exposure, ...]:
    """Return what one training exposes at most on so many rows (0: unknown), in each unit.

    ``columns`` are those of the host that has most. Trees count with all nodes that are split: the
    guest announces each that begins, so it knows how many did; a host takes all.
    """
    nodes = inner_nodes(parameters.depth)
    start, order = messages.TreeStart.kind, messages.Order.kind
    levels = [_partition_bits(rows or MOST_ROWS, level) for level in range(parameters.depth)]
    sent = parameters.trees * sum(levels) * most_partitions(parameters)
    compared = parameters.trees * nodes * 8 * bits.size(validation_rows)
    host, guest = Role.HOST.value, Role.GUEST.value
    sums, fields = 2 * opened_cuts(parameters, rows, columns), histogram.OPENED
    parts = fields[parameters.implementation]
    found = [
        Exposure(TREE_NODES, parameters.trees * nodes, message=start, field="more", each=nodes),
        *(Exposure(OPENED_SUMS, sums // len(parts), host, guest, *part) for part in parts),
        Exposure(ROWS, sent, host, guest, messages.Left.kind, "partition", 8),
        Exposure(ROWS, parameters.trees * sum(levels[:-1]), guest, host, order, "partition", 8),
    ]
    if validation_rows:
        kind = messages.Validation.kind
        found.append(Exposure(ROWS, compared, host, guest, kind, "bits", 8))
    return tuple(found)
