"""What a masked sum of honest clients lies within: each keeps to it, and the sum is checked.

Masks hide whose values are beyond their share, so the aggregator checks the sum as a whole: its
weight against the plan's rows, its values against ``bound`` times that weight. Within these limits
a lying client can still take all of ``bound``, whatever rows it has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import numpy as np

from atoll.learning.horizontal.algorithm import Algorithm, wrapped
from atoll.learning.horizontal.parties.adding import Adding, wrong_sum
from atoll.learning.horizontal.parties.privacy import Private
from atoll.learning.horizontal.postprocess.api import Passage, Stage
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.sums import Update


class Work(Protocol):
    """What limits follow from, of all that parties know of a training."""

    @property
    def algorithm(self) -> Algorithm:
        """What clients compute."""
        ...

    @property
    def chain(self) -> Chain:
        """What an update passes."""
        ...

    @property
    def adding(self) -> Adding:
        """How updates are added up."""
        ...

    @property
    def private(self) -> Private | None:
        """Differential privacy, where it is asked for."""
        ...


def require_possible(
    total: Update, work: Work, rows: Mapping[str, int], there: Collection[str]
) -> None:
    """Refuse a sum of a training round, in ring units, that no honest clients ``there`` have.

    ``rows`` are the most rows by client, 0 or missing where the plan does not know. Without a mask
    each update is seen; under privacy weights are constants. Errors: ATL-HOR-054.
    """
    mask, algorithm = work.adding.mask, _weighing(work)
    if mask is None or work.private is not None or algorithm is None:
        return
    found = mask.aggregate(total, 0, Passage({}, np.random.default_rng(0)))
    weight = found.numbers[algorithm.stated_weight or ""]
    stated = [rows.get(client, 0) for client in there]
    most = len(there) if _equal(algorithm) else sum(stated) if all(stated) else np.inf
    if not 0 <= weight <= most or weight != round(weight):
        raise wrong_sum()
    each = bound_of(work, rows)
    if each is None:
        return
    # Each client rounds by half a unit at most.
    reach = each * weight + len(there) / mask.form().scale
    for name in algorithm.weighed:
        vector = found.vectors[name]
        if vector.size and max(float(vector.max()), -float(vector.min())) > reach:
            raise wrong_sum()


def within(made: Update, work: Work, rows: Mapping[str, int]) -> Update:
    """Return a client's update with its weighed vectors cut to ``bound`` times its own weight.

    An update within it is returned itself.
    """
    each, algorithm = bound_of(work, rows), _weighing(work)
    if each is None or algorithm is None:
        return made
    reach, cut = each * made.numbers[algorithm.stated_weight or ""], dict(made.vectors)
    for name in algorithm.weighed:
        vector = cut[name]
        # Down to the format of the vector, so that what is cut lies within.
        limit = np.nextafter(vector.dtype.type(reach), vector.dtype.type(0))
        clipped = np.clip(vector, -limit, limit)
        # What lies within the bound, but for the rounding of the limit itself, stays as it is.
        cut[name] = vector if np.abs(vector - clipped).max(initial=0) <= 1e-6 * reach else clipped
    if all(cut[name] is made.vectors[name] for name in cut):
        return made
    return Update(cut, made.numbers)


def bound_of(work: Work, rows: Mapping[str, int]) -> float | None:
    """Return the greatest value of a weighed vector by weight 1; None where it is not known."""
    mask, algorithm = work.adding.mask, _weighing(work)
    if mask is None or algorithm is None or work.private is not None:
        return None
    if any(link.stage not in (Stage.CLIP, Stage.MASK) for link in work.chain.links):
        return None
    if _equal(algorithm):
        return mask.bound
    return mask.bound / max(rows.values()) if rows and all(rows.values()) else None


def _weighing(work: Work) -> Algorithm | None:
    """Return the algorithm, without what wraps it, where clients state what they weigh."""
    return next((part for part in wrapped(work.algorithm) if part.stated_weight), None)


def _equal(algorithm: Algorithm) -> bool:
    return getattr(algorithm, "weighting", "rows") == "equal"
