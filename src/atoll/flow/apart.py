"""Warns of steps at home whose settings were chosen for a table by who proposed the job."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import BaseModel

from atoll.components.api import Catalogue
from atoll.jobs.definition import Job, Step
from atoll.jobs.validation import order


def set_apart(
    job: Job,
    catalogue: Catalogue,
    parameters: Mapping[str, BaseModel],
    seen: Collection[str],
) -> list[str]:
    """Return a warning for each silent step of ``seen`` with own settings of some parties, or with
    bounds that cut values for all alike, below which others learn something.

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
        below = ", ".join(sorted(after for after in _below(job, name) if not silent[after]))
        if not below:
            continue
        shown = f"what {below} shows of their rows is of the columns and bounds chosen there"
        apart = _apart(step)
        if apart:
            found.append(
                f"{name}: who proposed this job set it apart for some parties ({apart}): {shown}"
            )
        cut = _cut(parameters[name], catalogue[step.component].cuts)
        if cut:
            found.append(
                f"{name}: who proposed this job chose where values are cut, for all parties alike "
                f"({cut}): {shown}, and two close bounds show which rows lie above them"
            )
    return found


def _apart(step: Step) -> str:
    named = {party: sorted(own) for party, own in step.overrides.items() if own}
    return "; ".join(f"{party}: {', '.join(own)}" for party, own in named.items())


def _cut(parameters: BaseModel, names: Collection[str]) -> str:
    """Return which of the bounds the job sets at all."""
    fields = type(parameters).model_fields
    return ", ".join(
        name
        for name in sorted(names)
        if getattr(parameters, name) != fields[name].get_default(call_default_factory=True)
    )


def _below(job: Job, name: str) -> set[str]:
    """Return the steps that take something from a step, at any number of removes."""
    found = {name}
    for after in order(job):
        if found & set(job.steps[after].sources()):
            found.add(after)
    return found - {name}
