"""Real plans of real components, as the parties would make them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import JsonValue

from atoll.components.catalogue import CATALOGUE
from atoll.core.names import Role, Roles
from atoll.flow.planning import build
from atoll.flow.policy.grants import Grant, GrantLimits
from atoll.jobs.definition import Job, Step
from atoll.jobs.plan import Plan, TableFacts
from atoll.table.rule import ID_RULE

NOW = 1_000_000.0
COLUMNS = ("age", "income", "debt")
GUEST, HOST, OTHER = "bank", "shop", "telco"
TABLES: dict[str, JsonValue] = {GUEST: "loans", HOST: "baskets", OTHER: "calls"}


def facts(name: str, columns: Iterable[str] = COLUMNS, label: str | None = None) -> TableFacts:
    digest = f"{name:_<64}"[:64]
    return TableFacts(
        name=name, digest=digest, rows=500, columns=tuple(columns), label=label, id_rule=ID_RULE
    )


def steps(trees: int = 4, depth: int = 3, **more: Any) -> dict[str, Step]:
    psi = {"minimum_intersection": more.pop("minimum", 20)}
    boosting = {"trees": trees, "depth": depth, **more}
    return {
        "read": Step(component="reader", parameters={"tables": dict(TABLES)}),
        "match": Step(component="psi", inputs={"table": "read.table"}, parameters=psi),
        "hold": Step(component="split", inputs={"table": "match.table"}),
        "train": Step(component="boosting", inputs={"train": "hold.train"}, parameters=boosting),
        "test": Step(component="prediction", inputs={"model": "train.model", "table": "hold.test"}),
        "judge": Step(component="evaluation", inputs={"scores": "test.scores"}),
    }


def _bring(step: Step, parties: Mapping[str, Roles]) -> Step:
    """Return a reader that names the tables of these parties alone; other steps as they are."""
    if step.component != "reader":
        return step
    tables = {p: name for p, name in TABLES.items() if p in parties}
    return step.model_copy(update={"parameters": {**step.parameters, "tables": tables}})


def plan_of(
    chosen: Mapping[str, Step] | None = None,
    hosts: tuple[str, ...] = (HOST,),
    columns: Iterable[str] = COLUMNS,
    name: str = "credit",
) -> Plan:
    parties: dict[str, Roles] = {GUEST: (Role.GUEST,), **dict.fromkeys(hosts, (Role.HOST,))}
    whole = {at: _bring(step, parties) for at, step in (chosen or steps()).items()}
    job = Job(name=name, parties=parties, steps=whole)
    tables = {
        GUEST: facts("loans", label="y"),
        HOST: facts("baskets", columns),
        OTHER: facts("calls"),
    }
    readers = [name for name, step in job.steps.items() if step.component == "reader"]
    declared = {party: dict.fromkeys(readers, tables[party]) for party in parties}
    return build(job, CATALOGUE, declared, {party: party * 8 for party in parties})


def only_psi(**parameters: Any) -> Plan:
    """Return a plan of an intersection alone."""
    chosen = steps()
    match = chosen["match"].model_copy(update={"parameters": parameters})
    return plan_of({"read": chosen["read"], "match": match}, name="match")


def strange(implementation: str = "magic.v1", **changes: Any) -> Plan:
    """Return the plan of a component that declares nothing, whatever it and its step are called."""
    plan = only_psi()
    step = plan.job.steps["match"].model_copy(update={"component": "magic"})
    steps = {**plan.job.steps, "match": step}
    job = plan.job.model_copy(update={"steps": steps})
    named = {**plan.implementations, "match": implementation}
    bare = {"job": job, "implementations": named, "exposure": {}}
    return plan.model_copy(update={**bare, **changes})


def grant(identifier: str = "a" * 16, **terms: Any) -> Grant:
    """Return a grant that covers all of ``plan_of()`` at the host, but for what ``terms`` say."""
    limits = terms.pop("limits", {})
    whole: dict[str, Any] = {
        "data": "baskets",
        "partners": (GUEST,),
        "components": ("psi", "split", "boosting", "prediction"),
        "automatic": True,
        **terms,
    }
    return Grant(id=identifier, limits=GrantLimits(**limits), **whole)
