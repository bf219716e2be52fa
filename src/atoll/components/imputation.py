"""Fills missing values and outliers of each party's own columns; nothing is sent.

What was fitted is an output of its own, and goes in again where new rows are filled alike.
"""

from __future__ import annotations

from atoll.components.api import Result, Task
from atoll.components.own_fit import fitted_or_given, own_fit
from atoll.learning.features.imputation import ImputationParameters, fit
from atoll.models.imputation import IMPUTATION_TRANSFORM


def run(task: Task, parameters: ImputationParameters) -> Result:
    """Fit this party's table, or take what was fitted, and fill.

    Errors: those of ``fit`` and ``fitted_or_given``.
    """
    return fitted_or_given(
        task,
        IMPUTATION_TRANSFORM,
        "Imputation",
        lambda table: fit(table, task.party.name, parameters),
    )


IMPUTATION = own_fit(
    "imputation",
    IMPUTATION_TRANSFORM,
    ImputationParameters,
    run,
    sources=("atoll.learning.features.imputation", "atoll.models.imputation"),
    cuts=frozenset({"bounds", "by_column", "constant", "lower", "missing", "times", "upper"}),
)
