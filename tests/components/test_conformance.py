"""Every component against the conformance suite, and the suite against components that fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from atoll.components import conformance, kinds
from atoll.components.api import Component, Facts, Result, Task, Terms
from atoll.components.catalogue import CATALOGUE
from atoll.components.conformance import CHECKS, Case, Check, ConformanceError, name_of, play
from atoll.core.errors import UserError
from atoll.core.message import Message, integer
from atoll.core.reveal import Reveal
from atoll.jobs.schema import Port
from tests.components.cases import CASES, both

# Training and joint scoring need a model: their cases are whole jobs (test_main_job, e2e).
_WHOLE_JOBS = {"boosting", "model", "prediction", "scoring"}


def test_every_component_has_cases() -> None:
    assert CATALOGUE.keys() - _WHOLE_JOBS == CASES.keys()


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("name", sorted(CASES))
def test_components_conform(name: str, check: Check) -> None:
    check(CATALOGUE[name], CASES[name])


@pytest.mark.parametrize("name", sorted(_WHOLE_JOBS))
def test_the_others_have_sane_schemas_and_bounds(name: str) -> None:
    conformance.has_a_sane_schema(CATALOGUE[name], [])
    conformance.has_parameters_with_help_and_bounds(CATALOGUE[name], [])


def test_every_kind_of_the_catalogue_is_known() -> None:
    for component in CATALOGUE.values():
        for port in component.inputs.values():
            assert all(kinds.known(kind) for kind in port.kinds)


# -- components that must fail --------------------------------------------------------------------


@dataclass(frozen=True)
class Rows(Message, kind="faulty.rows", version=1):
    rows: int = integer(0, 1 << 40, reveals="the sender's number of rows")
    secret: int = integer(0, 9, reveals="something that nobody was told of")


class Parameters(BaseModel):
    """One number."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least: int = Field(0, ge=0, le=100, description="fewest rows")


def _run(task: Task, parameters: Parameters) -> Result:
    party = task.party
    table = task.inputs["table"]
    if table.num_rows < parameters.least:
        raise UserError("ATL-CMP-020", "too few rows")
    for peer in party.roles:
        if peer != party.name:
            party.channel.send(peer, "rows", Rows(table.num_rows, 3))
            party.channel.receive(peer, "rows", Rows)
    return Result({"rows": table.num_rows})


def _describe(facts: Facts, parameters: Parameters) -> Terms:
    return Terms(
        reveals=(
            Reveal(
                "everyone", "everyone", "faulty.rows", "rows", "1", "the sender's number of rows"
            ),
            Reveal("everyone", "everyone", "faulty.rows", "secret", "1", "a digit"),
        ),
        outputs={"rows": facts.everyone("toy.rows")},
    )


GOOD = Component(
    "synthetic",
    "1",
    Parameters,
    _run,
    _describe,
    sources=("atoll.components",),
    inputs={"table": Port("table")},
    outputs={"rows": "toy.rows"},
)
SYNTHETIC = [Case(both()), Case(both(), {"least": 99}, code="ATL-CMP-020")]


def run_all(component: Component, cases: Sequence[Case] = SYNTHETIC) -> None:
    for check in CHECKS:
        check(component, cases)


def test_a_good_component_passes() -> None:
    run_all(GOOD)


def _hides_one(facts: Facts, parameters: Parameters) -> Terms:
    whole = _describe(facts, parameters)
    return replace(whole, reveals=whole.reveals[:1])


def _too_much(facts: Facts, parameters: Parameters) -> Terms:
    whole = _describe(facts, parameters)
    more = Reveal("guest", "host", "psi.ecdh.hello", "rows", "1", "what is never sent")
    return replace(whole, reveals=(*whole.reveals, more))


def _another_size(facts: Facts, parameters: Parameters) -> Terms:
    whole = _describe(facts, parameters)
    first = replace(whole.reveals[0], size="2")
    return replace(whole, reveals=(first, *whole.reveals[1:]))


def _another_sender(facts: Facts, parameters: Parameters) -> Terms:
    whole = _describe(facts, parameters)
    return replace(whole, reveals=tuple(replace(r, sender="guest") for r in whole.reveals))


def _no_output(facts: Facts, parameters: Parameters) -> Terms:
    return replace(_describe(facts, parameters), outputs={})


def _random(task: Task, parameters: Parameters) -> Result:
    _run(task, parameters)
    return Result({"rows": len(task.party.name), "more": 1})


def _clock(task: Task, parameters: Parameters) -> Result:
    made = _run(task, parameters)
    return Result(made.outputs, {"noise.txt": id(made).to_bytes(8, "big")})


def _crash(task: Task, parameters: Parameters) -> Result:
    if parameters.least:
        raise ValueError("person-0001")
    return _run(task, parameters)


def _print(task: Task, parameters: Parameters) -> Result:
    if parameters.least:
        raise UserError("ATL-CMP-020", "person-0001 is too short")
    return _run(task, parameters)


def _no_number(task: Task, parameters: Parameters) -> Result:
    return replace(_run(task, parameters), outputs={"rows": object()})


class Open(BaseModel):
    """Takes anything."""

    model_config = ConfigDict(frozen=True)
    least: int = 0


class Unbounded(Parameters):
    """Has a list without an end."""

    names: tuple[bool, ...] = Field((), description="names")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"describe": _hides_one}, "was sent, but not declared"),
        ({"describe": _too_much}, "was declared, but not sent"),
        ({"describe": _another_sender}, "from host to guest was sent, but not declared"),
        ({"describe": _another_size}, "1 elements sent, 2 declared"),
        ({"describe": _no_output}, "the plan does not state it"),
        ({"run": _random}, "is not declared"),
        ({"run": _clock}, "differ between runs"),
        ({"run": _crash}, "expected ATL-CMP-020"),
        ({"run": _print}, "holds a row's id"),
        ({"run": _no_number}, "is no toy.rows"),
        ({"parameters": Open}, "unknown parameters"),
        ({"parameters": Unbounded}, "without maxItems"),
        ({"name": "Toy"}, "lower-case"),
        ({"outputs": {"rows": "number"}}, "has no form"),
        ({"sources": ("atoll.nowhere",)}, "is not there"),
        ({"sources": ()}, "names the packages"),
    ],
)
def test_a_component_that_breaks_a_rule_fails(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        run_all(replace(GOOD, **changes))


def test_a_suite_without_a_refused_case_fails() -> None:
    with pytest.raises(ConformanceError, match="must be refused"):
        run_all(GOOD, SYNTHETIC[:1])


def test_a_trial_names_the_cause_and_not_its_echo() -> None:
    inputs = {"bank": both()["bank"], "shop": {"table": both(rows=5)["shop"]["table"]}}
    trial = play(GOOD, Case(inputs, {"least": 50}))
    assert [error.code for error in trial.causes if isinstance(error, UserError)] == ["ATL-CMP-020"]
    assert len(trial.errors) == 2
