"""What is written down of a model that a job has made. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from atoll.components.api import Catalogue
from atoll.components.fitted import reference_of
from atoll.core import codec
from atoll.core.errors import UserError
from atoll.flow.node.models.fitted import FittedFacts, with_fitted
from atoll.flow.node.models.predicting import applied
from atoll.flow.store import ArtifactRow, JobRow, ModelRow
from atoll.jobs.definition import parse_job

CANDIDATE, PUBLISHED, ARCHIVED = "candidate", "published", "archived"
# The newest of each output of a job, by step and name.
Outputs = Mapping[tuple[str, str], ArtifactRow]


def model_id(job: str, step: str, output: str) -> str:
    """Return the id that every party gives to its part of the same model."""
    return f"{job}.{step}" if output == "model" else f"{job}.{step}.{output}"


def model_row(
    job: JobRow, artifact: ArtifactRow, made: Outputs, party: str, catalogue: Catalogue
) -> ModelRow:
    """Return the record of a party's part as version 1: where it comes from, what goes with it."""
    plan = job.plan or {}
    parameters = plan.get("parameters", {}).get(artifact.step)
    lineage = {
        "graph": job.job,
        "plan": job.plan_digest,
        "output": artifact.name,
        "attempt": artifact.attempt,
        "party": party,
        "data": {
            party: {step: facts.get("digest") for step, facts in steps.items()}
            for party, steps in plan.get("tables", {}).items()
        },
    }
    return ModelRow(
        id=model_id(job.id, artifact.step, artifact.name),
        version=1,
        job=job.id,
        step=artifact.step,
        role=job.role,
        kind=artifact.kind,
        digest=artifact.digest,
        stage=CANDIDATE,
        parameters_digest=None if parameters is None else codec.digest(parameters),
        lineage=with_fitted(lineage, _fitted(job, artifact.step, made, catalogue)),
        created=artifact.created,
    )


def referring(job: JobRow, party: str) -> frozenset[str]:
    """Return the steps that bring in what a party's registry holds already."""
    try:
        graph = parse_job(job.job)
    except UserError:
        return frozenset()
    filled = (job.plan or {}).get("parameters", {})
    return frozenset(
        name
        for name, step in graph.steps.items()
        if reference_of(step, filled.get(name, step.parameters), party) is not None
    )


def _fitted(job: JobRow, step: str, made: Outputs, catalogue: Catalogue) -> dict[str, FittedFacts]:
    """Return what a job's steps fitted that predicting with the model of a step applies."""
    owners = (job.plan or {}).get("owners", {})
    try:
        graph = parse_job(job.job)
    except UserError:
        # A job from before some rule; no predict job is made of it either.
        return {}
    found: dict[str, FittedFacts] = {}
    for name, output in applied(graph, step, catalogue):
        own = made.get((name, output))
        found[name] = FittedFacts(
            kind=catalogue[graph.steps[name].component].outputs[output],
            parties=owners.get(f"{name}.{output}", ()),
            digest=own.digest if own else None,
            bytes=own.bytes if own else 0,
        )
    return found
