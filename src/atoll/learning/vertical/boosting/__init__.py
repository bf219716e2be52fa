"""Gradient boosting over the columns of several parties, federated mode."""

from atoll.learning.vertical.boosting.api import (
    COST,
    RATE,
    REVEALS,
    BoostingInputs,
    TrainingHistory,
    TrainingResult,
    TreeRecord,
    one_class,
    reveals,
)
from atoll.learning.vertical.boosting.checks import check_plan, check_validation
from atoll.learning.vertical.boosting.exposure import exposure
from atoll.learning.vertical.boosting.parameters import BoostingParameters
from atoll.learning.vertical.boosting.train import predict, train
from atoll.learning.vertical.boosting.warnings import plan_warnings

__all__ = [
    "COST",
    "RATE",
    "REVEALS",
    "BoostingInputs",
    "BoostingParameters",
    "TrainingHistory",
    "TrainingResult",
    "TreeRecord",
    "check_plan",
    "check_validation",
    "exposure",
    "one_class",
    "plan_warnings",
    "predict",
    "reveals",
    "train",
]
