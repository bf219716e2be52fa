"""Scores rows with a model whose parts the parties hold; only the guest gets the scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from atoll.components.api import Component, Facts, Result, Task, Terms
from atoll.components.columns import expect_columns
from atoll.components.dishonest import Cheat
from atoll.components.scores import Scores, scores_of
from atoll.components.unused import unused_report
from atoll.core.errors import InternalError, UserError
from atoll.core.exposure import UNCOUNTED, Exposure, at_least
from atoll.core.names import Role
from atoll.jobs.definition import Frozen
from atoll.jobs.schema import Port, Purpose
from atoll.models.columns import match_columns
from atoll.models.kinds import ModelKind, Scorer, kind_of

# How rows are scored, by a name of ``ModelKind.scorers``.
Implementation = Annotated[
    str,
    Field(
        pattern="^([a-z][a-z0-9_-]{0,62})?$",
        max_length=63,
        description="how rows are scored, of the ways that the kind of model has (boosting.model: "
        "`bits`, one round with all comparison bits; `path`, level by level those on a row's path "
        "alone, which shows each host which of its splits a row reaches); empty: its first",
    ),
]


class PredictionParameters(Frozen):
    """The model determines all but how it is scored."""

    implementation: Implementation = ""


def run(task: Task, parameters: PredictionParameters) -> Result:
    """Score an aligned table together; its columns are found by name.

    Errors: ATL-MOD-003 columns of the model are missing, ATL-MOD-005 no scorer, ATL-MOD-006 none
    of this name, those of the kind of model.
    """
    party, table, part = task.party, task.inputs["table"], task.inputs["model"]
    kind = kind_of(part, task.kinds)
    scorer = scorer_of(kind, type(part).__name__, parameters.implementation)
    columns = kind.columns(part) if kind else ()
    unused = match_columns(columns, table.columns).unused
    report = unused_report("Prediction", unused)
    found = scorer.run(party, part, table.matrix(columns), columns)
    if party.name != party.guest:
        return Result(report=report)
    if found is None:
        raise InternalError("ATL-INT-001", "the guest got no scores")
    # New rows are scored before anybody knows how they turn out.
    known = table.label_name is not None
    label = table.label() if known else np.full(table.num_rows, np.nan)
    scores = Scores(table.ids(), label, found)
    return Result({"scores": scores}, {"scores.csv": scores.to_csv()}, report)


def scorer_of(
    kind: ModelKind | None,
    name: str,
    chosen: str = "",
    roles: Mapping[str, Role] | None = None,
) -> Scorer:
    """Return how a kind of model scores rows, as chosen.

    Errors: ATL-MOD-005 not at all, ATL-MOD-006 not in this way, ATL-MOD-002 it has no part for one
    of these roles.
    """
    if kind is None or kind.scorer is None:
        raise UserError(
            "ATL-MOD-005",
            f"nothing here scores rows with a model of kind {name!r}",
            place="model",
            hint="take a model that is trained, or approve the component that brings its kind",
        )
    scorer = kind.scorers.get(chosen) if chosen else kind.scorer
    if scorer is None:
        raise UserError(
            "ATL-MOD-006",
            f"a model of kind {name!r} is not scored by {chosen!r}",
            place="implementation",
            hint=f"it is scored by: {', '.join(kind.scorers) or 'its only way, left empty'}",
        )
    missing = sorted({role.value for role in (roles or {}).values()} - {*scorer.roles})
    if missing:
        raise UserError(
            "ATL-MOD-002",
            f"a model of kind {name!r} has no part for the role {missing[0]}",
            place="model",
        )
    return scorer


def _kind(facts: Facts, chosen: str) -> tuple[ModelKind, Scorer]:
    """Return the kind of the model, the same at all parties.

    Errors: ATL-MOD-002, those of ``scorer_of``.
    """
    names = sorted({model.kind for model in facts.inputs["model"].values()})
    if len(names) != 1:
        raise UserError("ATL-MOD-002", "the parties hold models of different kinds", place="model")
    kind = facts.kinds.get(names[0])
    scorer = scorer_of(kind, names[0], chosen, facts.roles)
    return facts.kinds[names[0]], scorer


def describe(facts: Facts, parameters: PredictionParameters) -> Terms:
    """Return what joint scoring reveals, as the kind of model declares it.

    Each row that is scored counts once per attempt, whatever a run is. Errors: ATL-MOD-003 a
    party's table lacks columns of its model, ATL-MOD-005 a model of a kind that nothing scores,
    ATL-MOD-006 that is not scored so.
    """
    kind, scorer = _kind(facts, parameters.implementation)
    for party, model in facts.inputs["model"].items():
        expect_columns(model, facts.inputs["table"][party], party, f"steps.{facts.step}")
    scores = scores_of(facts.inputs["table"][facts.guest])
    exposure = scorer.exposure(facts.least_rows())
    if not facts.least_rows():
        # No cap can bind what is not known before.
        exposure = (*exposure, Exposure(UNCOUNTED, 1))
    if kind.origin:
        exposure = at_least(exposure, scorer.reveals)
    # The package that a kind comes with is pinned, as its code runs here.
    pinned = f"@{kind.origin}" if kind.origin else ""
    return Terms(
        implementation=f"{scorer.implementation}{pinned}",
        trust_model=scorer.trust_model,
        reveals=scorer.reveals,
        estimated_bytes=scorer.estimate(facts.least_rows(), facts.roles),
        outputs={"scores": {facts.guest: scores}},
        warnings=scorer.warnings,
        exposure=exposure,
    )


_NOT_SEEN = "it does not"
# Of joint scoring of boosted trees, in jobs and under standing agreements.
SCORING_CHEATS: tuple[Cheat, ...] = (
    Cheat(
        "guest",
        "learn",
        "by `bits` the side of each row at every split of the host, also where its path does not "
        "pass",
        "it does not; an honest guest is sent the same",
        "the splits of the host for each of the cap's `rows` (counted, 100 trees of depth 5, half "
        "of the splits the host's: 1,569 a row)",
        "`path`: one path in each tree",
    ),
    Cheat(
        "guest",
        "learn",
        "by `path` the sides on another path through the host's splits than the row takes: it may "
        "go where it likes at splits of others",
        _NOT_SEEN,
        "in each tree the longest chain of the host's splits, at most trees × depth a row and host "
        "for each of the cap's `rows` (counted as above: 377 a row, an honest one gets 252)",
        "nothing in this protocol; oblivious transfer would. Questions beside one path are refused "
        "(ATL-MOD-007)",
    ),
    Cheat(
        "host",
        "learn",
        "by `path`, where it lies about sides, which of its splits rows reach on other paths than "
        "theirs: so which are alike in the guest's and other hosts' columns there, too",
        _NOT_SEEN,
        "its splits of each tree, for each of the cap's `rows`, charged on the tables of other "
        "hosts and on the guest's, where it has one",
        "`bits`: hosts are sent nothing",
    ),
    Cheat(
        "host",
        "change",
        "the scores, by answers that are not true",
        "it does not; scores that no longer fit known labels may",
        "the leaves that rows reach at this host's splits; no code stops it",
        "nothing: only the host knows its columns",
    ),
    Cheat(
        "any",
        "stop",
        "the step, by what is malformed, out of turn or of other rows (ATL-MOD-002, 003, 004, 007)",
        "by code, with the partner's name",
        "the attempts that the plan signs; the rows whose bits were sent are charged for each",
        "not needed: no more is sent than in a step that goes well",
    ),
)

PREDICTION = Component(
    name="prediction",
    version="1",
    parameters=PredictionParameters,
    run=run,
    describe=describe,
    sources=("atoll.models",),
    inputs={
        "model": Port("model", purpose=Purpose.MODEL, everywhere=True),
        "table": Port("table", purpose=Purpose.TEST, everywhere=True, aligned=True),
    },
    outputs={"scores": "scores"},
    dishonest=(
        *SCORING_CHEATS,
        Cheat(
            "any",
            "learn",
            "sides of more rows than its table has in the plan",
            "by code",
            "no row: a party sends of no more than the plan states (ATL-REV-002)",
            "not needed; each row is charged as it goes, also in an attempt that was broken off",
        ),
    ),
)
