"""From bytes to facts: every section parsed strictly. Errors: ATL-FLW-001 for any other form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, cast, get_args

from pydantic import ValidationError

from atoll.core.errors import AtollError, UserError
from atoll.flow.control.facts import (
    TASK_STATES,
    Action,
    Declaration,
    End,
    EndState,
    JobDocument,
    Options,
    PlanFacts,
    Proposal,
    Refusal,
    Reusable,
    SignedApproval,
    Slot,
    StepCommand,
    StepRule,
    Stop,
    StopKind,
    TaskFact,
    TaskState,
    encode_section,
)
from atoll.flow.control.parsing import (
    CODE_FORM,
    JOB_ID,
    PHASE_LETTERS,
    VERSIONS,
    Reader,
    decoded,
    malformed,
)
from atoll.flow.planning import COIN_STEP
from atoll.jobs.approval import DOCUMENT_BYTES, NONCE_BYTES, SIGNATURE_BYTES
from atoll.jobs.definition import JOB_FILE_BYTES, STEPS, Job, parse_job
from atoll.jobs.plan import ComponentFacts, TableFacts
from atoll.jobs.validation import order

DECLARATION_BYTES = 4 << 20
CERTIFICATE_BYTES = 64 << 10
ATTEMPTS = 1 << 20
ORIGINS = 8
PARTS = 64 + STEPS
RUNS = 1 << 16
RETRIES = 10

_HEX = re.compile(r"[0-9a-f]{64}")
_STEP = re.compile(r"[a-z][a-z0-9_-]{0,62}|" + COIN_STEP)
_PARTY = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ORIGIN = re.compile(JOB_ID.pattern + r"/(" + _STEP.pattern + r")/[0-9]{1,7}")
_PART = re.compile(r"[a-z0-9_.-]{1,128}")
_RULES = frozenset(get_args(StepRule))
_ACTIONS = frozenset(get_args(Action))
_STOPS = frozenset(get_args(StopKind))
_ENDS = frozenset(get_args(EndState))
_TASKS = frozenset(TASK_STATES)


def read_options(value: Any) -> Options:
    """Read options; all fields are there. Errors: ATL-FLW-001 unknown or out of bounds."""
    read = Reader(value, "options")
    tags = tuple(read.items("tags", 32))
    if any(type(tag) is not str or not 1 <= len(tag) <= 64 for tag in tags):
        raise read.wrong("tags")
    options = Options(
        retries=read.whole("retries", 0, RETRIES),
        step_rule=cast(StepRule, read.one_of("step_rule", _RULES)),
        priority=read.whole("priority", -100, 100),
        progress_seconds=read.number("progress_seconds", 1, 7 * 86400),
        peer_seconds=read.number("peer_seconds", 1, 3600),
        reuse=read.flag("reuse"),
        tags=tags,
    )
    read.done()
    return options


def read_graph(value: Any) -> Job:
    """Read a job whose steps can be put in order. Errors: ATL-FLW-001."""
    try:
        job = parse_job(value)
        for step in job.steps.values():
            for source in step.inputs.values():
                at, dot, output = source.partition(".")
                if not dot or not output or at not in job.steps:
                    raise malformed("an input of the job names no step")
        order(job)
    except AtollError as error:
        raise malformed(f"the job ({error.code})") from error
    except (RecursionError, ValueError) as error:
        raise malformed("the job") from error
    return job


def _proposal(value: Any) -> Proposal:
    read = Reader(value, "proposal")
    job = read_graph(read.mapping("job", 16))
    nonce = read.blob("nonce", NONCE_BYTES, NONCE_BYTES)
    options = read_options(read.mapping("options", 16))
    read.done()
    return Proposal(job, nonce, options)


def read_proposal(proposal: Proposal) -> Proposal:
    """Read an own proposal as every peer will. Errors: ATL-FLW-019 they would refuse it."""
    try:
        return cast(Proposal, read_section("proposal", encode_section(proposal)))
    except AtollError as error:
        raise UserError(
            "ATL-FLW-019", f"the job or its options cannot be proposed: {error.message}"
        ) from error


def _declaration(value: Any) -> Declaration:
    read = Reader(value, "declaration")
    try:
        tables = {
            name: TableFacts.model_validate(entry) for name, entry in _steps(read, "tables").items()
        }
        components = {
            name: ComponentFacts.model_validate(entry)
            for name, entry in read.mapping("components", STEPS).items()
        }
    except ValidationError as error:
        raise malformed("the declaration") from error
    certificate = read.blob("certificate", CERTIFICATE_BYTES)
    read.done()
    return Declaration(tables, components, certificate)


def _steps(read: Reader, name: str) -> dict[str, Any]:
    found = read.mapping(name, STEPS + 1)
    if not all(_STEP.fullmatch(step) for step in found):
        raise read.wrong(name)
    return found


def _by_step(value: Any, what: str, read_one: Callable[[Any], Any]) -> dict[str, Any]:
    whole = Reader({what: value}, "facts")
    return {step: read_one(entry) for step, entry in _steps(whole, what).items()}


def _refusal(value: Any) -> Refusal:
    read = Reader(value, "refusal")
    found = Refusal(read.match("code", CODE_FORM), _phase(read))
    read.done()
    return found


def _phase(read: Reader) -> str | None:
    return read.optional("phase", lambda name: read.text(name, PHASE_LETTERS))


def _party(read: Reader) -> str | None:
    return read.optional("party", lambda name: read.match(name, _PARTY))


def _code(read: Reader) -> str | None:
    return read.optional("code", lambda name: read.match(name, CODE_FORM))


def _plan(value: Any) -> PlanFacts:
    read = Reader(value, "plan")
    digest = read.optional("digest", lambda name: read.match(name, _HEX))
    parts = read.mapping("parts", PARTS)
    read.done()
    for name, entry in parts.items():
        if not _PART.fullmatch(name) or type(entry) is not str or not _HEX.fullmatch(entry):
            raise read.wrong("parts")
    return PlanFacts(digest, parts)


def _approval(value: Any) -> SignedApproval:
    read = Reader(value, "approval")
    found = SignedApproval(
        read.blob("document", DOCUMENT_BYTES),
        read.blob("signature", SIGNATURE_BYTES),
        read.whole("run", 1, RUNS),
    )
    read.done()
    return found


def _slot(value: Any) -> Slot:
    read = Reader(value, "slot")
    names = ("offer", "withdrawn", "started", "admitted", "released")
    found = Slot(**{name: read.whole(name) for name in names})
    read.done()
    return found


def _reusable(value: Any) -> Reusable:
    read = Reader(value, "reusable")
    key = read.match("key", _HEX)
    origins = tuple(read.items("origins", ORIGINS))
    read.done()
    if not all(type(entry) is str and _ORIGIN.fullmatch(entry) for entry in origins):
        raise read.wrong("origins")
    return Reusable(key, origins)


def _command(value: Any) -> StepCommand:
    read = Reader(value, "command")
    attempt = read.whole("attempt", 1, ATTEMPTS)
    action = cast(Action, read.one_of("action", _ACTIONS))
    origin = read.optional("origin", lambda name: read.match(name, _ORIGIN))
    read.done()
    if (origin is None) != (action == "start"):
        raise read.wrong("origin")
    return StepCommand(attempt, action, origin)


def _task(value: Any) -> TaskFact:
    read = Reader(value, "task")
    attempt = read.whole("attempt", 1, ATTEMPTS)
    state = cast(TaskState, read.one_of("state", _TASKS))
    found = TaskFact(attempt, state, _code(read), _phase(read))
    read.done()
    return found


def _stop(value: Any) -> Stop:
    read = Reader(value, "stop")
    kind = cast(StopKind, read.one_of("kind", _STOPS))
    found = Stop(kind, read.match("code", CODE_FORM), _party(read), _phase(read))
    read.done()
    return found


def _end(value: Any) -> End:
    read = Reader(value, "end")
    state = cast(EndState, read.one_of("state", _ENDS))
    found = End(state, _code(read), _party(read), _phase(read))
    read.done()
    return found


def _run(value: Any) -> int:
    return Reader({"run": value}, "facts").whole("run", 1, RUNS)


_READ: Mapping[str, tuple[int, Callable[[Any], Any]]] = {
    "run": (16, _run),
    "proposal": (JOB_FILE_BYTES + (1 << 14), _proposal),
    "declaration": (DECLARATION_BYTES + (CERTIFICATE_BYTES << 1), _declaration),
    "refusal": (1 << 10, _refusal),
    "plan": (1 << 16, _plan),
    "approval": (DOCUMENT_BYTES + SIGNATURE_BYTES + 256, _approval),
    "slot": (1 << 9, _slot),
    "reusable": (1 << 18, lambda value: _by_step(value, "reusable", _reusable)),
    "commands": (1 << 17, lambda value: _by_step(value, "commands", _command)),
    "tasks": (1 << 17, lambda value: _by_step(value, "tasks", _task)),
    "stop": (1 << 10, _stop),
    "end": (1 << 10, _end),
}
CLEARED = frozenset({"refusal", "stop", "end"})


def read_section(name: str, data: bytes) -> Any:
    """Read one section; an empty one of ``CLEARED`` is None. Errors: ATL-FLW-001."""
    known = _READ.get(name)
    if known is None:
        raise malformed("an unknown section")
    if not data and name in CLEARED:
        return None
    limit, read = known
    return read(decoded(data, limit))


def section_limit(name: str) -> int:
    """Return how many bytes a section may have."""
    return _READ[name][0]


def read_facts(job: str, party: str, version: int, sections: Mapping[str, bytes]) -> JobDocument:
    """Put a whole document together. Errors: ATL-FLW-001."""
    values = {name: read_section(name, data) for name, data in sections.items()}
    return JobDocument(job=job, party=party, version=version, **values)


def read_version(read: Reader, name: str) -> int:
    """Read a version number."""
    return read.whole(name, 0, VERSIONS)
