"""Scales each party's own columns, to mean and deviation or to a range; nothing is sent.

What was fitted is an output of its own, and goes in again where new rows are scaled alike.
"""

from __future__ import annotations

from atoll.components.api import Result, Task
from atoll.components.own_fit import fitted_or_given, own_fit
from atoll.learning.features.scaling import ScaleParameters, fit
from atoll.models.scaling import SCALE_TRANSFORM


def run(task: Task, parameters: ScaleParameters) -> Result:
    """Fit this party's table, or take what was fitted, and scale.

    Errors: those of ``fit`` and ``fitted_or_given``.
    """
    return fitted_or_given(
        task, SCALE_TRANSFORM, "Scaling", lambda table: fit(table, task.party.name, parameters)
    )


SCALE = own_fit(
    "scale",
    SCALE_TRANSFORM,
    ScaleParameters,
    run,
    sources=("atoll.learning.features.scaling", "atoll.models.scaling"),
    cuts=frozenset({"lower", "upper", "by_column"}),
)
