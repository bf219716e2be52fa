"""What every component must do, as checks that its tests run.

    CASES = [Case({"bank": {"table": mine}, "shop": {"table": theirs}})]

    @pytest.mark.parametrize("check", CHECKS, ids=name_of)
    def test_it_conforms(check):
        check(COMPONENT, CASES)

A case with ``code`` must be refused with it; at least one such case is asked for. ``PARAMETERS``
as the code states that the parameter class itself refuses them.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from atoll.components import kinds
from atoll.components.api import ArtifactFacts, Component, Result
from atoll.components.predict import Apply, Drop
from atoll.components.scores import Scores
from atoll.components.trial import (
    Case,
    Trial,
    artifact_facts,
    kinds_of,
    parameters_of,
    play,
)
from atoll.core.errors import AtollError, InternalError, UserError
from atoll.core.message import message_class
from atoll.core.names import Role
from atoll.core.report import Report
from atoll.core.reveal import Reveal, evaluate
from atoll.jobs.schema import party_local
from atoll.models.catalogue import KINDS
from atoll.models.kinds import Kinds
from atoll.table import Table

__all__ = [
    "CHECKS",
    "PARAMETERS",
    "Case",
    "Check",
    "ConformanceError",
    "check_facts",
    "name_of",
    "play",
]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_FILE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
_ID_BYTES = 4
_ENDS = ("sender", "receiver")
PARAMETERS = "parameters"


class ConformanceError(AssertionError):
    """A component does not keep to the rules."""


Check = Callable[[Component, Sequence[Case]], None]


def name_of(check: Check) -> str:
    """Return a check's name, for the names of tests."""
    return check.__name__


def _require(holds: object, message: str) -> None:
    if not holds:
        raise ConformanceError(message)


def has_a_sane_schema(component: Component, cases: Sequence[Case]) -> None:
    """Names, version, ports, kinds and sources are there and well-formed."""
    _require(_NAME.fullmatch(component.name), "a component's name is lower-case, at most 63")
    _require(component.version, "a component has a version")
    for name in (*component.inputs, *component.outputs):
        _require(_NAME.fullmatch(name), f"the input or output {name!r} is badly named")
    for name, kind in component.outputs.items():
        _require(kinds.known(kind), f"the output {name} has the kind {kind!r}, which has no form")
    for source in component.sources:
        _require(importlib.util.find_spec(source), f"the source {source} is not there")
    _require(component.sources or component.origin, "a component names the packages that it runs")
    _require(component.roles, "a component has a part for some role")
    _check_predict(component)
    for own_kind in component.model_kinds:
        of = own_kind.name.startswith(f"{component.name}.") and kinds.known(own_kind.name)
        _require(of, f"the kind {own_kind.name!r} is not called after the component")


def _check_predict(component: Component) -> None:
    """What it states about predict jobs fits its ports, and where its rows come from is stated."""
    rule = component.predict
    if isinstance(rule, Drop | Apply):
        named = [name for name in component.outputs if name in component.rows]
        _require(named, "what is dropped or applied needs rows: where its rows come from")
    if isinstance(rule, Apply):
        port, kind = component.inputs.get(rule.port), component.outputs.get(rule.fitted)
        fits = port is not None and kind is not None and port.optional and port.accepts(kind)
        _require(fits or rule.by, "what was fitted goes in again at an optional input")
        _require(str(kind).endswith(".transform"), "what was fitted is of a kind .transform")


def has_parameters_with_help_and_bounds(component: Component, cases: Sequence[Case]) -> None:
    """The parameter class is frozen and closed; each field has help and bounds."""
    parameters = component.parameters
    _require(parameters.model_config.get("frozen"), "the parameter class is frozen")
    _require(parameters.model_config.get("extra") == "forbid", "unknown parameters are refused")
    _require(parameters.__doc__, "the parameter class states what it is for")
    for name, info in parameters.model_fields.items():
        _require(info.description, f"the parameter {name} has no description")
    whole = parameters.model_json_schema()
    for name, form in whole.get("properties", {}).items():
        for fault in _unbounded(form, whole.get("$defs", {})):
            raise ConformanceError(f"the parameter {name} is {fault}")
    for name in sorted(party_local(parameters)):
        required = parameters.model_fields[name].is_required()
        _require(not required, f"{name} may differ by party, so it needs a default")


# What bounds a value of each JSON type: one key of each group must be there.
_BOUNDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "integer": (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")),
    "number": (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")),
    "string": (("pattern", "maxLength"),),
    "array": (("maxItems",),),
    "object": (("maxProperties",),),
}


def _unbounded(form: Any, known: Mapping[str, Any]) -> Iterator[str]:
    """Find what has no bound in a JSON schema: numbers, texts, lists and mappings."""
    if not isinstance(form, dict):
        return
    if "$ref" in form:
        form = known[form["$ref"].rpartition("/")[2]]
    inner = [*form.get("anyOf", ()), *form.get("oneOf", ()), form.get("items")]
    inner += [form.get("additionalProperties"), *form.get("properties", {}).values()]
    for part in inner:
        yield from _unbounded(part, known)
    if form.keys() & {"enum", "const", "properties"}:
        return
    for group in _BOUNDS.get(form.get("type", ""), ()):
        if not form.keys() & set(group):
            yield f"a value of type {form['type']} without {' or '.join(group)}"


def declares_reveals_that_exist(component: Component, cases: Sequence[Case]) -> None:
    """Each declared reveal is a revealing field of a message, with a sentence and a formula."""
    roles = {"everyone", *(role.value for role in Role)}
    for case in _accepted(cases):
        for entry in play(component, case).terms.reveals:
            found = message_class(entry.message)
            _require(found, f"there is no message {entry.message}")
            fields = dict(found.specs()) if found else {}
            _require(entry.field in fields, f"{entry.message} has no field {entry.field}")
            _require(fields[entry.field].reveals, f"{entry.message}.{entry.field} is opaque")
            for role in (entry.sender, entry.receiver):
                _require(role in roles, f"{role!r} is no role")
            _require(entry.what and entry.size, "a reveal has a sentence and a size")


def runs_and_keeps_to_its_outputs(component: Component, cases: Sequence[Case]) -> None:
    """Every party ends; outputs are declared and of their kind, files well named, reports valid."""
    _require(_accepted(cases), "there is a case that runs")
    for case in _accepted(cases):
        trial = _played(component, case)
        for party, result in trial.results.items():
            _check_result(component, party, result)
            for output, value in result.outputs.items():
                held = trial.terms.outputs.get(output, {})
                _require(party in held, f"{party} gets {output}, but the plan does not state it")
                check_facts(f"{output} of {party}", held[party], value, kinds_of(component))


def check_facts(output: str, declared: ArtifactFacts, value: Any, models: Kinds = KINDS) -> None:
    """The facts of an output in the plan hold; those that the plan leaves open are not checked."""
    found = artifact_facts(declared.kind, value, models)
    _require(found.kind == declared.kind, f"the plan is wrong on the kind of {output}")
    if isinstance(value, Table | Scores):
        _require(not declared.rows or found.rows <= declared.rows, f"{output} has too many rows")
        _require(
            bool(found.label) == bool(declared.label), f"the plan is wrong on the label of {output}"
        )
    if isinstance(value, Table):
        _require(
            found.aligned == declared.aligned, f"the plan is wrong on the alignment of {output}"
        )
    if declared.columns is not None and found.columns is not None:
        _require(found.columns == declared.columns, f"the plan is wrong on the columns of {output}")


def _check_result(component: Component, party: str, result: Result) -> None:
    for name, value in result.outputs.items():
        kind = component.outputs.get(name)
        _require(kind, f"the output {name} of {party} is not declared")
        fits = kinds.holds(str(kind), value, kinds_of(component))
        _require(fits, f"the output {name} of {party} is no {kind}")
    for name, data in result.files.items():
        _require(_FILE.fullmatch(name), f"the file {name!r} is badly named")
        _require(isinstance(data, bytes), f"the file {name} is not bytes")
    if result.report is not None:
        Report.model_validate_json(result.report.model_dump_json(), strict=True)
        _require(result.report.panels, "a report has panels")


def sends_what_it_declares(component: Component, cases: Sequence[Case]) -> None:
    """What was sent is declared, by sender, receiver and size; what is declared is sent."""
    for case in _accepted(cases):
        trial = _played(component, case)
        sizes = _sizes(case)
        used: set[int] = set()
        for line in trial.sent:
            sender, receiver = (case.roles[line[at]].value for at in _ENDS)
            at = _declared(trial.terms.reveals, sender, receiver, line)
            named = f"{line['message']}.{line['field']} from {sender} to {receiver}"
            if at is None:
                raise ConformanceError(f"{named} was sent, but not declared")
            used.add(at)
            expected = _size(trial.terms.reveals[at], sizes, named)
            _require(
                line["elements"] == expected,
                f"{named}: {line['elements']} elements sent, {expected} declared",
            )
        for at, entry in enumerate(trial.terms.reveals):
            quiet = (entry.message, entry.field) in case.unsent
            if at not in used and not quiet and _present(entry, case):
                raise ConformanceError(f"{entry.message}.{entry.field} was declared, but not sent")


def _declared(
    reveals: Sequence[Reveal], sender: str, receiver: str, line: Mapping[str, Any]
) -> int | None:
    wanted = (line["message"], line["field"])
    for at, entry in enumerate(reveals):
        ends = entry.sender in (sender, "everyone") and entry.receiver in (receiver, "everyone")
        if (entry.message, entry.field) == wanted and ends:
            return at
    return None


def _present(entry: Reveal, case: Case) -> bool:
    return {entry.sender, entry.receiver} <= {"everyone", *case.roles.values()}


def _size(entry: Reveal, sizes: Mapping[str, Any], named: str) -> int:
    try:
        return int(evaluate(entry.size, sizes))
    except InternalError as error:
        text = f"{named}: the case's sizes lack a name of {entry.size!r}"
        raise ConformanceError(text) from error


def _sizes(case: Case) -> dict[str, Any]:
    found: dict[str, Any] = {"hosts": sum(r == Role.HOST for r in case.roles.values())}
    for party, role in case.roles.items():
        tables = [v for v in case.inputs.get(party, {}).values() if isinstance(v, Table)]
        if tables:
            found[f"rows_{role.value}"] = found["rows"] = tables[0].num_rows
    return {**found, **case.sizes}


def repeats_under_a_fixed_seed(component: Component, cases: Sequence[Case]) -> None:
    """Two runs with the same public and secret seed give the same outputs and files."""
    for case in _accepted(cases):
        first, second = (_played(component, case).results for _ in range(2))
        for party, result in first.items():
            again = second[party]
            _require(result.files == again.files, f"the files of {party} differ between runs")
            _require(result.outputs.keys() == again.outputs.keys(), "outputs come and go")
            for name, value in result.outputs.items():
                same = _same(value, again.outputs[name])
                _require(same, f"the output {name} of {party} differs between runs")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Table | Scores):
        return type(one) is type(other) and bool(one.to_arrow().equals(other.to_arrow()))
    if isinstance(one, bytes) or kinds.json_like(one):
        return bool(one == other)
    return repr(one) == repr(other)


def refuses_what_does_not_fit(component: Component, cases: Sequence[Case]) -> None:
    """Cases with a code end with it, by no fault of the code, and without a row's id in the text.

    ``PARAMETERS`` as the code stands for parameters that the parameter class refuses.
    """
    refused = [case for case in cases if case.code is not None]
    _require(refused, "there is a case that must be refused")
    causes: list[BaseException] = []
    for case in refused:
        if case.code == PARAMETERS:
            valid = _valid(component.parameters, case.parameters)
            _require(not valid, "parameters that must be refused are taken")
            continue
        trial = play(component, case)
        causes += trial.causes
        named = [getattr(error, "code", type(error).__name__) for error in trial.causes]
        _require(case.code in named, f"expected {case.code}, got {named or 'no error'}")
        for error in trial.causes:
            known = isinstance(error, AtollError) and not isinstance(error, InternalError)
            _require(known, f"{type(error).__name__} is no refusal")
            _require(_leaks(str(error), case) is None, "an error's text holds a row's id")
    blamed = any(isinstance(error, UserError) for error in causes)
    _require(blamed or not causes, "no case blames the input, as a UserError does")


def _leaks(text: str, case: Case) -> str | None:
    for inputs in case.inputs.values():
        for value in inputs.values():
            if isinstance(value, Table):
                for entry in value.ids().to_pylist():
                    if len(entry) >= _ID_BYTES and entry.decode() in text:
                        return str(entry)
    return None


def refuses_unknown_parameters(component: Component, cases: Sequence[Case]) -> None:
    """A parameter of another name is refused, and so is a value of another type."""
    for case in _accepted(cases):
        extra = {**case.parameters, "no_such_parameter": 1}
        _require(not _valid(component.parameters, extra), "an unknown parameter is taken")
        for name in component.parameters.model_fields:
            wrong = {**case.parameters, name: {"\u0000": [object()]}}
            _require(not _valid(component.parameters, wrong), f"{name} takes anything")


def _valid(parameters: type[BaseModel], value: Mapping[str, Any]) -> bool:
    try:
        parameters.model_validate(dict(value))
    except ValueError:
        return False
    return True


def _accepted(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.code is None]


def _played(component: Component, case: Case) -> Trial:
    parameters_of(component, case)
    trial = play(component, case)
    for party, error in trial.errors.items():
        text = f"{party} failed with {type(error).__name__}: {error}"
        raise ConformanceError(text) from error
    return trial


CHECKS: tuple[Check, ...] = (
    has_a_sane_schema,
    has_parameters_with_help_and_bounds,
    declares_reveals_that_exist,
    runs_and_keeps_to_its_outputs,
    sends_what_it_declares,
    repeats_under_a_fixed_seed,
    refuses_what_does_not_fit,
    refuses_unknown_parameters,
)
