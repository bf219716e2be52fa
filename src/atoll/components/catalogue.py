"""The literal table of components: a job's step names one of these, and nothing else is loaded."""

from __future__ import annotations

from atoll.components.api import Component
from atoll.components.boosting import BOOSTING
from atoll.components.evaluation import EVALUATION
from atoll.components.prediction import PREDICTION
from atoll.components.psi import PSI
from atoll.components.reader import READER
from atoll.components.split import SPLIT

CATALOGUE: dict[str, Component] = {
    "reader": READER,
    "psi": PSI,
    "split": SPLIT,
    "boosting": BOOSTING,
    "prediction": PREDICTION,
    "evaluation": EVALUATION,
}
