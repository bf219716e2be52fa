"""Features of pooled rows by sums that can be masked: each step is a few rounds over clients."""

from atoll.learning.horizontal.features.api import (
    FeatureStep,
    PartyStep,
    StepSizes,
    TableColumns,
    run_step,
)
from atoll.learning.horizontal.features.counted import BinCounts, Evidence, MostFrequent
from atoll.learning.horizontal.features.moments import Described, Moments
from atoll.learning.horizontal.features.scaling import (
    Imputation,
    by_constant,
    by_mean,
    by_median,
    scaling,
)
from atoll.learning.horizontal.features.sketch import Cells, Sketch
from atoll.learning.horizontal.features.summary import Summary
from atoll.learning.horizontal.features.vocabulary import Categories, Vocabulary

__all__ = [
    "BinCounts",
    "Categories",
    "Cells",
    "Described",
    "Evidence",
    "FeatureStep",
    "Imputation",
    "Moments",
    "MostFrequent",
    "PartyStep",
    "Sketch",
    "StepSizes",
    "Summary",
    "TableColumns",
    "Vocabulary",
    "by_constant",
    "by_mean",
    "by_median",
    "run_step",
    "scaling",
]
