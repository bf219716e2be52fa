"""Two jobs that differ in any single field of what a task reads never share an output."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atoll.flow.control import Options
from atoll.flow.control.facts import JobDocument, Proposal, StepCommand
from atoll.flow.control.record import JobRecord
from atoll.flow.control.reuse import reuse_key
from atoll.flow.planning import COIN_STEP
from atoll.flow.work.specification import TaskSpec
from atoll.jobs.definition import parse_job
from atoll.jobs.plan import Plan
from tests.flow.control.pair import JOB_ID, NONCE

STEP = "train"
COMMITTED = "c" * 64
values = st.one_of(
    st.booleans(),
    st.integers(0, 9),
    st.sampled_from(["a", "b"]),
    st.none(),
    st.lists(st.booleans(), max_size=2),
)
parameters = st.dictionaries(st.sampled_from(["trees", "depth", "columns"]), values, max_size=3)
digest = st.sampled_from(["1" * 64, "2" * 64])


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """Draw all that a step may read, as plain values: what ``record_of`` makes a record of."""
    parties = draw(st.sampled_from([["bank", "shop"], ["bank", "mill", "shop"]]))
    tables = {
        party: {
            "name": draw(st.sampled_from(["people", "loans"])),
            "rows": draw(st.integers(1, 3)),
            "columns": draw(st.sampled_from([["a"], ["a", "b"]])),
            "label": draw(st.sampled_from([None, "y"])),
            "id_rule": "bytes",
        }
        for party in parties
    }
    return {
        "step": draw(st.sampled_from([STEP, "again"])),
        "component": draw(st.sampled_from(["synthetic", "other"])),
        "version": draw(st.sampled_from(["1", "2"])),
        "code": draw(digest),
        "platform": draw(digest),
        "parameters": draw(parameters),
        "party_parameters": {party: draw(parameters) for party in parties},
        "implementation": draw(st.sampled_from(["local", "elgamal"])),
        "roles": {party: "guest" if party == "bank" else "host" for party in parties},
        "tables": tables,
        "input": draw(st.sampled_from(["read.table", "read.other"])),
        "origin": draw(st.sampled_from([None, f"{JOB_ID}/read/1", f"{JOB_ID}/read/2"])),
        "seed": draw(st.sampled_from([None, 1, 2])),
        "seats": draw(st.sampled_from([["bank:guest"], ["bank:guest", "shop:host"]])),
        "edges": draw(st.sampled_from([[], ["guest host"]])),
        "quorum": draw(st.sampled_from([{"host": 1}, {"host": 2}])),
    }


def record_of(chosen: dict[str, Any]) -> JobRecord:
    step, component = chosen["step"], chosen["component"]
    job = parse_job(
        {
            "name": "any",
            "parties": chosen["roles"],
            "seed": chosen["seed"],
            "steps": {
                "read": {"component": "source"},
                step: {"component": component, "inputs": {"table": chosen["input"]}},
            },
        }
    )
    facts = {"version": chosen["version"], "code": chosen["code"]}
    plan = Plan.model_validate(
        {
            "job": job,
            "parameters": {step: chosen["parameters"], "read": {}},
            "party_parameters": {step: chosen["party_parameters"]},
            "tables": {
                party: {step: {"digest": COMMITTED, **table}}
                for party, table in chosen["tables"].items()
            },
            "platform": chosen.get("platform", ""),
            "components": {component: facts, "source": {"version": "1", "code": "0"}},
            "implementations": {step: chosen["implementation"], "read": "local"},
            "trust_models": {},
            "reveals": {},
            "minimums": {},
            "certificates": {},
            "estimated_bytes": {},
            "owners": {},
            "seats": {step: chosen["seats"]},
            "edges": {step: chosen["edges"]},
            "quorum": {step: chosen["quorum"]},
        }
    )
    command = StepCommand(1, "reuse" if chosen["origin"] else "start", chosen["origin"])
    own = JobDocument(
        JOB_ID, "bank", proposal=Proposal(job, NONCE, Options()), commands={"read": command}
    )
    record = JobRecord(JOB_ID, "bank", "bank", 0.0, {"bank": own})
    return replace(record, plan=plan)


def key_of(chosen: dict[str, Any]) -> str:
    found = reuse_key(record_of(chosen), chosen["step"])
    assert found is not None
    return found


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all values that are no mapping; an empty mapping is one, too."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


@given(plans(), plans())
def test_two_jobs_share_a_key_only_if_a_task_reads_the_same(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    same = {**one, "origin": one["origin"] or f"{JOB_ID}/read/1"} == {
        **other,
        "origin": other["origin"] or f"{JOB_ID}/read/1",
    }
    assert (key_of(one) == key_of(other)) == same


@given(plans(), plans(), st.data())
def test_a_single_other_field_is_another_key(
    one: dict[str, Any], other: dict[str, Any], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(sorted(leaves(one), key=str)))
    value = at(other, path)
    if value is None or value == at(one, path) or path[0] in ("roles", "origin"):
        return
    changed = copy.deepcopy(one)
    target = changed
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    assert key_of(changed) != key_of(one)


# Every field that a task is given: part of the key, or why it cannot change an output.
KEYED = {"job", "step", "party", "implementation", "component", "parameters", "inputs", "tables"}
KEYED |= {"seats", "edges", "quorum", "code", "platform"}
OF_THE_RUN = {
    "job_id": "names the job on the wire",
    "attempt": "a running number",
    "plan_digest": "compared with the peers; what it stands for is keyed piece by piece",
    "seed_path": "choices that another draw may make otherwise; a fixed seed is keyed with the job",
    "gateway": "how peers are reached",
    "rows": "bounds what a peer may bring; what passes is the same",
    "columns": "bounds what a peer may send; what passes is the same",
    "most": "bounds what this party sends; what passes is the same",
    "limits": "how long to wait and what to keep in memory",
    "outputs_folder": "where outputs are put",
    "checkpoints": "where an attempt may go on; what comes out is the same",
    "standing": "a session under an agreement, which leaves no output",
    "seat_keys": "keys of one attempt, which sign what its seats send each other",
    "certificates": "whose keys others' are held against; what comes out is the same",
    "approved": "which packages may be loaded; their code is keyed",
}


def test_every_field_of_a_task_is_accounted_for() -> None:
    assert set(TaskSpec.model_fields) == KEYED | OF_THE_RUN.keys()
    assert not KEYED & OF_THE_RUN.keys()


def test_the_coin_toss_is_never_reused() -> None:
    record = record_of({**BASE, "seed": 3})
    assert reuse_key(record, COIN_STEP) is None


BASE: dict[str, Any] = {
    "step": STEP,
    "component": "synthetic",
    "version": "1",
    "code": "1" * 64,
    "parameters": {},
    "party_parameters": {},
    "implementation": "local",
    "roles": {"bank": "guest", "shop": "host"},
    "tables": {},
    "input": "read.table",
    "origin": None,
    "seed": None,
    "seats": ["bank:guest", "shop:host"],
    "edges": [],
    "quorum": {"host": 1},
}
