"""A standing agreement on scores of single rows with a registered model.

The step of the job checks what a session will need and sends nothing. In a session the guest asks
for rows by their ids: hosts look them up in their tables, and all score them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from atoll.components.api import (
    ArtifactFacts,
    Component,
    Facts,
    OwnFacts,
    Requests,
    Result,
    Standing,
    StandingTerms,
    TableDeclaration,
    Tables,
    Task,
    Terms,
)
from atoll.components.columns import expect_columns
from atoll.components.dishonest import Cheat
from atoll.components.prediction import SCORING_CHEATS, Implementation, scorer_of
from atoll.components.references import PART
from atoll.components.registered import (
    RegisteredModelParameters,
    check_owner,
    check_registered,
    no_part,
    stated_kind,
    unknown_kind,
)
from atoll.components.scoring_messages import REVEALS
from atoll.components.unused import unused_report
from atoll.core.errors import UserError
from atoll.core.exposure import ROWS, Exposure, at_least
from atoll.core.names import Role
from atoll.jobs.definition import PARTIES
from atoll.jobs.plan import DAY, TableFacts
from atoll.jobs.schema import PARTY_LOCAL, Port, Purpose
from atoll.jobs.validation import near
from atoll.models.columns import match_columns
from atoll.models.kinds import ModelKind, kind_of
from atoll.table.rule import ID_RULE

if TYPE_CHECKING:
    from atoll.table import Table

Text = Annotated[str, Field(max_length=256)]
_MOST_ROWS = 1 << 40
_MOST_COLUMNS = 1 << 16


class ScoringParameters(RegisteredModelParameters):
    """Who may ask for how many scores, of which model, over which tables, until when."""

    tables: dict[Text, Text] = Field(
        min_length=1,
        max_length=PARTIES,
        description="the name of the table in which each party looks rows up; one at each host, "
        "and at the guest unless its requests carry its columns",
    )
    columns: dict[Text, tuple[Text, ...]] = Field(
        default={},
        max_length=PARTIES,
        description="the columns that each party lets be used; a party that is not named: all of "
        "its table",
        json_schema_extra={"additionalProperties": {"type": "array", "maxItems": _MOST_COLUMNS}},
    )
    id: str = Field(
        default="id",
        max_length=256,
        description="the column with the row ids, at every party",
        json_schema_extra=PARTY_LOCAL,
    )
    label: str = Field(
        default="",
        max_length=256,
        description="the label's column in the guest's table, which is not used; empty: none",
    )
    per_day: int = Field(
        default=1000,
        ge=1,
        le=_MOST_ROWS,
        description="the most rows a day that each party lets be scored",
    )
    most: int = Field(
        ge=1, le=_MOST_ROWS, description="the most rows in all that each party lets be scored"
    )
    until: str = Field(
        pattern=DAY,
        max_length=10,
        description="the last day on which rows are scored (YYYY-MM-DD, UTC)",
    )
    implementation: Implementation = ""

    @model_validator(mode="after")
    def _sane(self) -> Self:
        date.fromisoformat(self.until)
        for party, names in self.columns.items():
            if not names or len(set(names)) < len(names):
                raise ValueError(f"the columns of {party} are none, or one is named twice")
        return self


def open_table(party: str, role: Role, parameters: ScoringParameters, tables: Tables) -> Table:
    """Return a party's table as it is now, with the columns that may be used.

    Errors: ATL-JOB-010 no such table, ATL-TAB-002 it lacks a column, those of the reader.
    """
    label = (parameters.label or None) if role == Role.GUEST else None
    table = tables.open(parameters.tables[party], id_column=parameters.id, label=label)
    chosen = parameters.columns.get(party)
    return table if chosen is None else table.select(chosen)


def declare(
    party: str, role: Role, parameters: ScoringParameters, tables: Tables
) -> TableDeclaration | None:
    """Return the facts of a table for others; None at a guest whose requests carry columns."""
    if party not in parameters.tables:
        return None
    label = (parameters.label or None) if role == Role.GUEST else None
    table = tables.open(parameters.tables[party], id_column=parameters.id, label=label)
    chosen = parameters.columns.get(party, table.columns)
    made = TableFacts(
        name=parameters.tables[party],
        digest=table.digest(),
        rows=table.num_rows,
        columns=table.select(chosen).columns,
        label=table.label_name,
        id_rule=ID_RULE,
    )
    return TableDeclaration(made, table.label_facts(), lambda: table)


def own_part(task: Task, parameters: ScoringParameters) -> tuple[Any, ModelKind]:
    """Return this party's part of the model, and its kind.

    Errors: ATL-REG-010 none here, or another party's; ATL-MOD-002 it was fitted with other
    parties; ATL-MOD-005 its kind is not known here.
    """
    part = task.inputs.get(PART)
    if part is None:
        raise no_part(parameters.model)
    kind = kind_of(part, task.kinds)
    if kind is None:
        raise unknown_kind(parameters.kind)
    check_owner(kind, part, task.party.name, parameters.model)
    if not kind.fits(part, task.party.roles):
        raise UserError("ATL-MOD-002", "the model was trained with other parties or roles")
    return part, kind


def run(task: Task, parameters: ScoringParameters) -> Result:
    """Check part, columns and table; nothing is sent. Errors: ATL-MOD-003, those of both."""
    _, kind = own_part(task, parameters)
    if task.party.name not in parameters.tables:
        return Result()
    table = open_table(task.party.name, task.party.role, parameters, task.tables)
    columns = kind.columns(task.inputs[PART])
    unused = match_columns(columns, table.columns).unused
    return Result(report=unused_report("Scoring", unused))


def serve(task: Task, parameters: ScoringParameters, requests: Requests) -> None:
    """Score rows as they are asked for; see ``scoring_session``."""
    from atoll.components import scoring_session

    part, kind = own_part(task, parameters)
    scorer = scorer_of(kind, kind.name, parameters.implementation)
    table = None
    if task.party.name in parameters.tables:
        table = open_table(task.party.name, task.party.role, parameters, task.tables)
    bench = scoring_session.Bench(
        task.party, requests, scorer, part, kind.columns(part), table, parameters.columns
    )
    if task.party.role == Role.GUEST:
        scoring_session.ask(bench)
    else:
        scoring_session.follow(bench)


def _check_tables(facts: Facts, parameters: ScoringParameters) -> None:
    for place, named in (("tables", parameters.tables), ("columns", parameters.columns)):
        for party in named:
            if party not in facts.roles:
                raise UserError(
                    "ATL-JOB-006",
                    "a party is named that takes no part",
                    party=party,
                    place=f"parameters.{place}",
                    hint=near(party, facts.roles),
                )
    for host in facts.hosts:
        if host not in parameters.tables:
            raise UserError(
                "ATL-JOB-006",
                "a host looks rows up in a table, and none is named",
                party=host,
                place="parameters.tables",
            )


def _columns(facts: Facts, parameters: ScoringParameters) -> Mapping[str, tuple[str, ...]]:
    declared = {party: known.columns for party, known in facts.tables.items()}
    return {**parameters.columns, **declared}


def describe(facts: Facts, parameters: ScoringParameters) -> Terms:
    """Return what a session reveals: which ids are asked for and found, and the scorer's reveals.

    Errors: ATL-JOB-006 a table of no party, or none of a host; ATL-MOD-002, ATL-MOD-005 no kind of
    model that scores with these roles, ATL-MOD-006 not in this way.
    """
    if PART in facts.inputs:
        raise UserError(
            "ATL-REG-010",
            "a standing agreement is about a registered model",
            place=f"steps.{facts.step}.inputs.{PART}",
            hint="train first, then name the model of the registry",
        )
    _check_tables(facts, parameters)
    kind = facts.kinds[stated_kind(parameters.kind, "model", facts.kinds)]
    scorer = scorer_of(kind, kind.name, parameters.implementation, facts.roles)
    reveals = (*REVEALS, *scorer.reveals)
    exposure: tuple[Exposure, ...] = (Exposure(ROWS, parameters.most),)
    if kind.origin:
        exposure = at_least(exposure, reveals)
    pinned = f"@{kind.origin}" if kind.origin else ""
    return Terms(
        implementation=f"{scorer.implementation}{pinned}",
        trust_model=scorer.trust_model,
        reveals=reveals,
        warnings=(*scorer.warnings, *_warnings(facts, parameters)),
        exposure=exposure,
        standing=StandingTerms(
            asks=Role.GUEST.value,
            per_day=parameters.per_day,
            most=parameters.most,
            until=parameters.until,
            model=parameters.model,
            version=parameters.version,
            columns=dict(_columns(facts, parameters)),
        ),
    )


def _warnings(facts: Facts, parameters: ScoringParameters) -> tuple[str, ...]:
    hosts = ", ".join(facts.hosts)
    return (
        f"this is a standing agreement: {facts.guest} may ask for scores without a further plan, "
        f"{parameters.per_day} rows a day and {parameters.most} in all, until {parameters.until} "
        "(UTC); any party ends it at once at its own node",
        f"{facts.guest} learns whether {hosts} knows an id, for each that it asks; rows are taken "
        "from the tables that go by these names when they are asked for",
    )


def check(own: OwnFacts, parameters: ScoringParameters) -> None:
    """Hold this party's part of the model against its table and the other parties.

    Errors: ATL-REG-… no such model here, ATL-REG-009 its rows were transformed before the training,
    ATL-MOD-003 a column of the training is missing, ATL-MOD-006 the part is not scored so, those of
    ``check_registered``.
    """
    found = own.part(parameters.reference(own.party))
    if found.fitted:
        # Raw rows would get scores all the same, and wrong ones.
        raise UserError(
            "ATL-REG-009",
            f"the model was trained on rows that went through {', '.join(found.fitted)}, and a "
            "request brings single rows as they are",
            place="parameters.model",
            hint="use a model whose training takes the rows as they are, or a predict job",
        )
    kind = check_registered(own, found, parameters.kind, parameters.model)
    scorer_of(kind, kind.name, parameters.implementation).check(found.value)
    columns = own.declared.facts.columns if own.declared else parameters.columns.get(own.party)
    model = ArtifactFacts(kind.name, columns=kind.columns(found.value))
    table = ArtifactFacts("table", columns=columns)
    expect_columns(model, table, own.party, f"steps.{own.step}")


SCORING = Component(
    name="scoring",
    version="1",
    parameters=ScoringParameters,
    run=run,
    describe=describe,
    declare=declare,
    brings=lambda party, parameters: party in parameters.tables,
    check=check,
    standing=Standing(serve),
    sources=(
        "atoll.components.prediction",
        "atoll.components.registered",
        "atoll.components.scoring_messages",
        "atoll.components.scoring_session",
        "atoll.models",
        "atoll.table",
    ),
    inputs={PART: Port("model", optional=True, purpose=Purpose.MODEL, everywhere=True)},
    dishonest=(
        Cheat(
            "guest",
            "learn",
            "which of the ids that it made up the host has",
            "it does not; many ids that are not there show in the ledger's reveals",
            "a row of the agreement's bounds (a day, in all) and of the cap `rows` for each id, "
            "counted by the host before it answers",
            "nothing in this protocol; smaller bounds",
        ),
        Cheat(
            "guest",
            "learn",
            "by `path` further paths of a row, by asking for it again",
            "the same id is asked again",
            "a row of the bounds for each time",
            "smaller bounds",
        ),
        Cheat(
            "host",
            "learn",
            "by `path`, with several hosts: which of the ids that are asked for all others have, "
            "by claiming to have them all",
            "it does not; scores of rows that it made up are poor",
            "a row of the bounds for each id, counted by all, and of the cap `rows` on the tables "
            "of other hosts and on the guest's; where its requests carry the columns it has none",
            "`bits`: then all ids that are asked for are scored, and the guest alone knows which "
            "of the scores count",
        ),
        Cheat(
            "host",
            "stop",
            "what is asked, by a bound's code after the guest and other hosts have counted it",
            "by code, with the host's name",
            "a row of the bounds and caps for each id, once: what a host refused is not asked "
            "again",
            "not needed: it learns nothing by it; end the agreement",
        ),
        *SCORING_CHEATS,
    ),
)
