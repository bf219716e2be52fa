"""The Python client of a node, jobs as Python, and a whole federation in one process.

Names are loaded when they are asked for, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atoll.sdk.async_jobs import AsyncJob
    from atoll.sdk.asynchronous import AsyncClient
    from atoll.sdk.client import Client
    from atoll.sdk.jobs import Job
    from atoll.sdk.pipeline import Output, Pipeline, StepHandle, read_job

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "Client",
    "Job",
    "Output",
    "Pipeline",
    "StepHandle",
    "read_job",
]

_PLACES = {
    "AsyncClient": "atoll.sdk.asynchronous",
    "AsyncJob": "atoll.sdk.async_jobs",
    "Client": "atoll.sdk.client",
    "Job": "atoll.sdk.jobs",
    "Output": "atoll.sdk.pipeline",
    "Pipeline": "atoll.sdk.pipeline",
    "StepHandle": "atoll.sdk.pipeline",
    "read_job": "atoll.sdk.pipeline",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'atoll.sdk' has no attribute {name!r}")
    return getattr(importlib.import_module(place), name)


def __dir__() -> list[str]:
    return sorted(__all__)
