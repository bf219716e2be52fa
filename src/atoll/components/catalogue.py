"""The literal table of components: a job's step names one of these, and nothing else is loaded."""

from __future__ import annotations

from atoll.components.api import Component
from atoll.components.boosting import BOOSTING
from atoll.components.cluster_evaluation import CLUSTER_EVALUATION
from atoll.components.download import DOWNLOAD
from atoll.components.evaluation import EVALUATION
from atoll.components.fitted import FITTED
from atoll.components.horizontal import HORIZONTAL
from atoll.components.horizontal_binning import HORIZONTAL_BINNING
from atoll.components.horizontal_boosting import HORIZONTAL_BOOSTING
from atoll.components.horizontal_kmeans import HORIZONTAL_KMEANS
from atoll.components.horizontal_scale import HORIZONTAL_SCALE
from atoll.components.horizontal_statistics import HORIZONTAL_STATISTICS
from atoll.components.imputation import IMPUTATION
from atoll.components.local_prediction import LOCAL_PREDICTION
from atoll.components.prediction import PREDICTION
from atoll.components.psi import PSI
from atoll.components.reader import READER
from atoll.components.registered import REGISTERED_MODEL
from atoll.components.sample import SAMPLE
from atoll.components.scale import SCALE
from atoll.components.scoring import SCORING
from atoll.components.split import SPLIT
from atoll.components.statistics import STATISTICS
from atoll.components.synthetic import SYNTHETIC
from atoll.components.transform import TRANSFORM
from atoll.components.union import UNION

CATALOGUE: dict[str, Component] = {
    "reader": READER,
    "psi": PSI,
    "statistics": STATISTICS,
    "union": UNION,
    "sample": SAMPLE,
    "split": SPLIT,
    "imputation": IMPUTATION,
    "scale": SCALE,
    "boosting": BOOSTING,
    "horizontal": HORIZONTAL,
    "horizontal_statistics": HORIZONTAL_STATISTICS,
    "horizontal_scale": HORIZONTAL_SCALE,
    "horizontal_binning": HORIZONTAL_BINNING,
    "horizontal_kmeans": HORIZONTAL_KMEANS,
    "horizontal_boosting": HORIZONTAL_BOOSTING,
    "model": REGISTERED_MODEL,
    "fitted": FITTED,
    "transform": TRANSFORM,
    "prediction": PREDICTION,
    "local_prediction": LOCAL_PREDICTION,
    "scoring": SCORING,
    "evaluation": EVALUATION,
    "cluster_evaluation": CLUSTER_EVALUATION,
    "download": DOWNLOAD,
    "synthetic": SYNTHETIC,
}
