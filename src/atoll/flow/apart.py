"""Warns of steps at home whose settings decide what steps below show of a table."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import BaseModel

from atoll.components.api import Catalogue
from atoll.jobs.definition import Job
from atoll.jobs.validation import order
from atoll.learning.features.scaling import ScaleParameters


def set_apart(
    job: Job,
    catalogue: Catalogue,
    parameters: Mapping[str, BaseModel],
    seen: Collection[str],
) -> list[str]:
    """Return warnings of each silent step of ``seen`` below which others learn something: that it
    has own settings of some parties, and that it cuts columns to bounds.

    What is revealed below is of what the step makes of a table: a column that is cut between two
    close values shows which rows lie above, and other clients' constant columns leave a sum of one.
    """
    silent = {
        name: catalogue[step.component].edges_of(parameters[name]).silent
        for name, step in job.steps.items()
    }
    found = []
    for name in order(job):
        step = job.steps[name]
        # A reader's own settings name its table: it shapes no column.
        if name not in seen or not silent[name] or catalogue[step.component].declare is not None:
            continue
        below = sorted(after for after in _below(job, name) if not silent[after])
        if below and _bounded(parameters[name]):
            found.append(
                f"{name}: who proposed this job chose bounds that cut columns: what "
                f"{', '.join(below)} shows is of what they leave, down to which rows lie between "
                "two values, or of few rows that are not made alike"
            )
        named = {party: sorted(own) for party, own in step.overrides.items() if own}
        if named and below:
            settings = "; ".join(f"{party}: {', '.join(own)}" for party, own in named.items())
            found.append(
                f"{name}: who proposed this job set it apart for some parties ({settings}): what "
                f"{', '.join(below)} shows of their rows is of the columns and bounds chosen there"
            )
    return found


def _bounded(parameters: BaseModel) -> bool:
    """Return whether a step cuts columns of all parties to bounds alike."""
    if not isinstance(parameters, ScaleParameters):
        return False
    return bool(parameters.by_column) or (parameters.lower, parameters.upper) != (None, None)


def _below(job: Job, name: str) -> set[str]:
    """Return the steps that take something from a step, at any number of removes."""
    found = {name}
    for after in order(job):
        if found & set(job.steps[after].sources()):
            found.add(after)
    return found - {name}
