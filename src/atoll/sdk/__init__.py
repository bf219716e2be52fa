"""The Python client of a node, jobs as Python, and a whole federation in one process.

Names are loaded when they are asked for, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atoll.core.lazy import lazily

if TYPE_CHECKING:
    from atoll.sdk.asynchronous import AsyncClient, AsyncJob
    from atoll.sdk.client import Client
    from atoll.sdk.estimators import VerticalBoostingClassifier
    from atoll.sdk.federation import Federation, Outcomes, PartyOutcome, local
    from atoll.sdk.horizontal import HorizontalClassifier, HorizontalRegressor
    from atoll.sdk.horizontal_trees import (
        HorizontalBoostingClassifier,
        HorizontalBoostingRegressor,
    )
    from atoll.sdk.jobs import Job
    from atoll.sdk.pipeline import Output, Pipeline, StepHandle, read_job

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "Client",
    "Federation",
    "HorizontalBoostingClassifier",
    "HorizontalBoostingRegressor",
    "HorizontalClassifier",
    "HorizontalRegressor",
    "Job",
    "Outcomes",
    "Output",
    "PartyOutcome",
    "Pipeline",
    "StepHandle",
    "VerticalBoostingClassifier",
    "local",
    "read_job",
]

_PLACES = {
    "AsyncClient": "asynchronous",
    "AsyncJob": "asynchronous",
    "Client": "client",
    "Federation": "federation",
    "HorizontalBoostingClassifier": "horizontal_trees",
    "HorizontalBoostingRegressor": "horizontal_trees",
    "HorizontalClassifier": "horizontal",
    "HorizontalRegressor": "horizontal",
    "Job": "jobs",
    "Outcomes": "federation",
    "Output": "pipeline",
    "PartyOutcome": "federation",
    "Pipeline": "pipeline",
    "StepHandle": "pipeline",
    "VerticalBoostingClassifier": "estimators",
    "local": "federation",
    "read_job": "pipeline",
}


__getattr__ = lazily(__name__, _PLACES)


def __dir__() -> list[str]:
    return sorted(__all__)
