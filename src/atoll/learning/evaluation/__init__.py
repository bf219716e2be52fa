"""How good a binary model is: figures at a threshold, figures over all thresholds, curves."""

from atoll.learning.evaluation.binary import BinaryEvaluation, evaluate
from atoll.learning.evaluation.curves import Curves, auc, ks, one_class
from atoll.learning.evaluation.metrics import Confusion, log_loss

__all__ = [
    "BinaryEvaluation",
    "Confusion",
    "Curves",
    "auc",
    "evaluate",
    "ks",
    "log_loss",
    "one_class",
]
