"""A whole job for each component of the catalogue, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from atoll.core.names import Role
from tests.components.variations import COLUMNS, TABLES, TWO

Steps = Mapping[str, Mapping[str, Any]]
Rows = Mapping[str, str]
Key = tuple[str, str]

MISSING = "ATL-MOD-003"
BOOST: Mapping[str, Any] = {"trees": 2, "depth": 2, "minimum_rows": 3, "implementation": "ideal"}


@dataclass(frozen=True)
class Scenario:
    """A job around a component, without the readers and intersections that come first.

    ``steps`` are made of the source of each table's rows, and ``shown`` are those that are compared
    (none named: all). ``joint`` names by table the step that must refuse its rows if nobody agreed
    on them; a table that is not named is each party's own affair. ``refused`` are codes by (table,
    variation). ``trains``: a model is trained on the rows of ``people``. ``chooses``: columns are
    chosen by name and others left out; ``noted`` says where a report names those. ``secret`` are
    outputs that differ from run to run. ``three``: it is tried with two hosts, too. ``scales``: the
    values of the table of the step "it" are changed as its transform says. ``base`` is how
    the rows come in where nothing varies. ``constant`` says why nothing does.
    """

    steps: Callable[[Rows], Steps] = lambda rows: {}
    tables: tuple[str, ...] = ("people",)
    shown: tuple[str, ...] = ()
    forms: tuple[str, ...] = ("intersected", "unseen", "straight", "claimed", "stated")
    base: str = "stated"
    joint: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[Key, str] = field(default_factory=dict)
    trains: bool = False
    chooses: bool = False
    noted: frozenset[Key] = frozenset()
    secret: frozenset[str] = frozenset()
    three: bool = False
    scales: bool = False
    constant: str = ""


def step(component: str, inputs: Mapping[str, Any], **parameters: Any) -> dict[str, Any]:
    overrides = parameters.pop("overrides", {})
    return {
        "component": component,
        "inputs": dict(inputs),
        "parameters": parameters,
        "overrides": overrides,
    }


def boosted(rows: Rows, **more: str) -> dict[str, Any]:
    return step("boosting", {"train": rows["people"], **more}, **BOOST)


def predicted(table: str, model: str = "boost.model") -> dict[str, Any]:
    return step("prediction", {"model": model, "table": table})


def imported(rows: Rows) -> Steps:
    """Bring a part in through its port; a node takes it from its registry instead."""
    inputs = {"table": rows["fresh"], "part": "boost.model"}
    return {
        "boost": boosted(rows),
        "model": step("model", inputs, model="m"),
        "score": predicted("model.table", "model.model"),
    }


def measured(rows: Rows) -> Steps:
    return {
        "split": step("split", {"table": rows["people"]}, fraction=0.4),
        "boost": boosted({"people": "split.train"}),
        "score": predicted("split.test"),
        "measure": step(
            "evaluation",
            {"scores": "score.scores", "train": "boost.scores", "others": ["score.scores"]},
        ),
    }


def united(rows: Rows) -> Steps:
    return {"unite": step("union", {"tables": [rows["people"], rows["later"]]})}


def some(component: str, **parameters: Any) -> Callable[[Rows], Steps]:
    """Return a step for which each party names its first two columns."""
    own = {party: {"columns": list(names[:2])} for party, names in COLUMNS.items()}

    def steps(rows: Rows) -> Steps:
        return {"it": step(component, {"table": rows["people"]}, overrides=own, **parameters)}

    return steps


def one(component: str, **parameters: Any) -> Callable[[Rows], Steps]:
    return lambda rows: {"it": step(component, {"table": rows["people"]}, **parameters)}


def each(code: str, tables: tuple[str, ...], *names: str) -> dict[Key, str]:
    return {(table, name): code for table in tables for name in names}


def scored(second: str) -> dict[Key, str]:
    """Return what is refused where rows of a second table need the columns of the training."""
    return each(MISSING, ("people",), "renamed", "more") | each(
        MISSING, (second,), "renamed", "less"
    )


def again(rows: Rows, component: str = "scale") -> Steps:
    """Scale later rows, or fill them, as the first ones were."""
    inputs = {"table": rows["later"], "transform": "first.transform"}
    return {
        "first": step(component, {"table": rows["people"]}),
        "it": step(component, inputs),
    }


def handed(rows: Rows) -> Steps:
    """Hand a fit on; a node takes it from its registry instead."""
    known = {"model": "m", "step": "first", "kind": "scale.transform"}
    made = again(rows)
    return {
        "first": made["first"],
        "hand": step("fitted", {"part": "first.transform"}, **known),
        "it": step("scale", {"table": rows["later"], "transform": "hand.fitted"}),
    }


def applied(rows: Rows) -> Steps:
    """Apply a fit alone."""
    inputs = {"table": rows["later"], "transform": "first.transform"}
    return {"first": again(rows)["first"], "it": step("transform", inputs)}


JOINT: Mapping[str, str] = {"people": "it"}
NAMED = ("named", "unseen")
WITH_FRESH: Mapping[str, Any] = {
    "tables": ("people", "fresh"),
    "joint": {"people": "boost", "fresh": "score"},
    "refused": scored("fresh"),
    "trains": True,
    "chooses": True,
    "noted": frozenset({("fresh", "more"), ("people", "less")}),
}
WITH_LATER: Mapping[str, Any] = {
    "tables": ("people", "later"),
    "refused": each("ATL-CMP-030", ("people", "later"), "renamed", "more", "less"),
}

FITS: Mapping[str, Any] = {
    "tables": ("people", "later"),
    "refused": scored("later"),
    "trains": True,
    "scales": True,
    "shown": ("it",),
}

# Its rows come with requests, after the job: test_scoring, and tests/flow/standing.
BY_REQUEST = {"scoring"}
# What has clients in place of guest and hosts is in ``test_horizontal_tables``.
CLIENTS = {
    "horizontal",
    "horizontal_statistics",
    "horizontal_scale",
    "horizontal_binning",
    "horizontal_kmeans",
    "horizontal_boosting",
    "local_prediction",
    "cluster_evaluation",
}
ELSEWHERE = BY_REQUEST | CLIENTS

SCENARIOS: Mapping[str, Mapping[str, Scenario]] = {
    "synthetic": {"made-up": Scenario(tables=(), constant="it takes no table and reads none")},
    "reader": {"tables": Scenario(shown=("people",), forms=("read", "stated"))},
    "psi": {
        "common": Scenario(
            shown=("people_rows",), forms=("intersected",), base="intersected", three=True
        )
    },
    "statistics": {
        "all": Scenario(one("statistics")),
        "some": Scenario(
            some("statistics"),
            forms=NAMED,
            refused=each("ATL-TAB-002", ("people",), "renamed", "less"),
            chooses=True,
        ),
    },
    "union": {
        "alone": Scenario(united, **WITH_LATER),
        "split": Scenario(
            lambda rows: {**united(rows), "it": step("split", {"table": "unite.table"})},
            joint={"people": "it", "later": "it"},
            forms=("straight", "claimed"),
            **WITH_LATER,
        ),
    },
    "sample": {
        "random": Scenario(one("sample", fraction=0.5), joint=JOINT),
        "stratified": Scenario(
            one("sample", fraction=0.5, method="stratified"),
            joint=JOINT,
            secret=frozenset({"it.table"}),
            three=True,
        ),
    },
    "imputation": {
        # No value is missing, so none changes.
        "all": Scenario(one("imputation")),
        "again": Scenario(lambda rows: again(rows, "imputation"), **{**FITS, "scales": False}),
    },
    "scale": {
        "all": Scenario(one("scale"), scales=True),
        "again": Scenario(again, **FITS),
    },
    "fitted": {"handed": Scenario(handed, **FITS)},
    "transform": {"applied": Scenario(applied, **FITS)},
    "split": {"halves": Scenario(one("split", fraction=0.5), joint=JOINT, three=True)},
    "boosting": {
        "alone": Scenario(lambda rows: {"it": boosted(rows)}, joint=JOINT, trains=True, three=True),
        "validated": Scenario(
            lambda rows: {"it": boosted(rows, validation=rows["later"])},
            tables=("people", "later"),
            joint={"people": "it", "later": "it"},
            refused=scored("later"),
            trains=True,
            chooses=True,
            noted=frozenset({("later", "more"), ("people", "less")}),
        ),
    },
    "model": {"part": Scenario(imported, **WITH_FRESH)},
    "prediction": {
        "fresh": Scenario(
            lambda rows: {
                "boost": boosted(rows),
                "score": predicted(rows["fresh"]),
                "file": step("download", {"table": "score.scores"}, name="scores"),
            },
            three=True,
            **WITH_FRESH,
        ),
    },
    "evaluation": {"both": Scenario(measured, joint={"people": "split"}, trains=True)},
    "download": {
        "csv": Scenario(one("download")),
        "parquet": Scenario(
            some("download", format="parquet"),
            forms=NAMED,
            refused=each("ATL-CMP-050", ("people",), "renamed", "less"),
            chooses=True,
        ),
    },
}


def job(scenario: Scenario, parties: Mapping[str, Role], forms: Mapping[str, str]) -> Any:
    """Return the whole job; ``forms`` say by table how its rows come (not named: as stated)."""
    protocol = "ideal" if parties == TWO else "ecdh"
    steps: dict[str, Any] = {}
    rows = {}
    for name in scenario.tables:
        form = forms.get(name, "stated")
        label = "y" if TABLES[name][2] else ""
        known = {"tables": dict.fromkeys(parties, name), "label": label}
        steps[name] = step("reader", {}, **known, aligned=form == "stated")
        rows[name] = f"{name}.table"
        if form in ("intersected", "named", "unseen"):
            steps[f"{name}_rows"] = step("psi", {"table": rows[name]}, protocol=protocol)
            rows[name] = f"{name}_rows.table"
    steps |= scenario.steps(rows)
    if not scenario.tables:
        steps["it"] = step("synthetic", {})
    for made in steps.values():
        made["overrides"] = {p: own for p, own in made["overrides"].items() if p in parties}
    return {"name": "any", "parties": dict(parties), "seed": 7, "steps": steps}


def shown(scenario: Scenario, made: Any) -> tuple[str, ...]:
    """Return the steps that are compared: those of the scenario, not the readers before them."""
    before = {name for table in scenario.tables for name in (table, f"{table}_rows")}
    return scenario.shown or tuple(name for name in made["steps"] if name not in before)


def own_step(component: str, scenario: Scenario) -> Mapping[str, Any]:
    """Return the step of the component that a scenario is for, its inputs numbered."""
    made = job(scenario, TWO, dict.fromkeys(scenario.tables, scenario.base))["steps"].values()
    found = [one for one in made if one["component"] == component][-1]
    return {**found, "inputs": dict(_numbered(found["inputs"]))}


def _numbered(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for port, source in inputs.items():
        if isinstance(source, str):
            yield port, source
        else:
            yield from ((f"{port}.{at}", one) for at, one in enumerate(source))
