"""From the graph that trained a model to the job that proposes scores of single rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atoll.components.api import Catalogue
from atoll.components.catalogue import CATALOGUE
from atoll.components.kinds import declared
from atoll.components.prediction import PREDICTION
from atoll.components.psi import PSI
from atoll.components.reader import READER
from atoll.components.registered import REGISTERED_MODEL
from atoll.components.scoring import SCORING
from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.flow.node.models.predicting import Trained, predict_job
from atoll.jobs.definition import Job, Step

STEP = "scores"
# What a predict job is made of where rows are scored as the tables have them.
_PLAIN = frozenset({READER.name, PSI.name, REGISTERED_MODEL.name, PREDICTION.name})


def agreement_job(
    trained: Trained,
    tables: Mapping[str, str],
    terms: Mapping[str, Any],
    label: str | None = None,
    catalogue: Catalogue = CATALOGUE,
    *,
    today: str = "",
) -> Job:
    """Return the job of a standing agreement on scores: one step, all parties of the model.

    ``tables`` are by party, the guest's may be missing: its requests then carry its columns.
    ``terms`` are further parameters of the component ``scoring``; ``label`` is the label's column
    in the guest's table; ``today`` (YYYY-MM-DD, UTC) is no later than the last day. Errors:
    ATL-AGR-003 it is, ATL-REG-009 the model's kind or graph has no prediction, rows are
    changed before they are scored, or tables do not fit.
    """
    if str(terms.get("until", today)) < today:
        raise UserError(
            "ATL-AGR-003",
            "the last day of the agreement would be over already",
            place="until",
            hint=f"name {today} or a later day",
        )
    kind = declared(catalogue).get(trained.kind)
    if kind is not None and kind.scorer is None and kind.alone is not None:
        raise UserError(
            "ATL-REG-009",
            "no standing agreement is made of this model: each party holds the whole of it",
            hint="score own rows alone: atoll model predict, or the component local_prediction",
        )
    graph = trained.graph
    guests = {party for party, roles in graph.parties.items() if Role.GUEST in roles}
    _check_plain(predict_job(trained, dict.fromkeys(guests, "none") | {**tables}, label, catalogue))
    step = Step(
        component=SCORING.name,
        parameters={
            "model": trained.model,
            "version": trained.version,
            "kind": trained.kind,
            "tables": dict(tables),
            **({"label": label} if label and guests & tables.keys() else {}),
            **terms,
        },
    )
    name = f"scores-{graph.name}"[:63].rstrip("-_")
    return Job(name=name, parties=graph.parties, steps={STEP: step})


def _check_plain(job: Job) -> None:
    """Refuse a model whose rows were changed before the training: single rows are not."""
    for name, step in job.steps.items():
        if step.component not in _PLAIN:
            raise UserError(
                "ATL-REG-009",
                f"no standing agreement is made of this model: its rows go through {name} "
                f"({step.component}) before they are scored",
                hint="score whole tables: atoll model predict; or train on tables as they are",
            )
