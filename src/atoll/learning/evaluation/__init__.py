"""How good a model is: figures of classes, numbers and clusters, curves, and tests of models."""

from atoll.learning.evaluation.binary import LABELS, BinaryEvaluation, drawn, evaluate
from atoll.learning.evaluation.calibration import Calibration
from atoll.learning.evaluation.clustering import ClusterEvaluation, evaluate_clusters
from atoll.learning.evaluation.comparison import AucComparison
from atoll.learning.evaluation.curves import Curves, auc, ks, one_class
from atoll.learning.evaluation.metrics import Confusion, log_loss
from atoll.learning.evaluation.multiclass import MultiClassEvaluation, evaluate_classes
from atoll.learning.evaluation.regression import RegressionEvaluation, evaluate_numbers
from atoll.learning.evaluation.stability import Stability
from atoll.learning.evaluation.thresholds import ThresholdTable

__all__ = [
    "LABELS",
    "AucComparison",
    "BinaryEvaluation",
    "Calibration",
    "ClusterEvaluation",
    "Confusion",
    "Curves",
    "MultiClassEvaluation",
    "RegressionEvaluation",
    "Stability",
    "ThresholdTable",
    "auc",
    "drawn",
    "evaluate",
    "evaluate_classes",
    "evaluate_clusters",
    "evaluate_numbers",
    "ks",
    "log_loss",
    "one_class",
]
