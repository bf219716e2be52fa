"""A job run task by task as a node would: specifications, folders, results wired to inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from atoll.channel import world
from atoll.channel.faulty import Fault
from atoll.channel.party import Cancel, Party
from atoll.components.api import Catalogue, Component, Facts, Result, Task, Terms
from atoll.components.catalogue import CATALOGUE
from atoll.components.reader import READER
from atoll.components.taking_part import taking_part
from atoll.core.message import Message, integer
from atoll.flow.planning import COIN_STEP, filled
from atoll.flow.work.artifacts import load
from atoll.flow.work.events import Events, silent
from atoll.flow.work.execute import TaskContext, execute
from atoll.flow.work.specification import InputArtifact, OwnTable, TaskSpec
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.schema import Port
from atoll.jobs.validation import order
from atoll.table import Table, write
from tests.flow import toy

JOB_ID = "20260102030405-0123abcd"
PLAN = "ab" * 32


@dataclass(frozen=True)
class Number(Message, kind="little.number", version=1):
    """A number for the other party."""

    value: int = integer(0, 1 << 40, reveals="the sender's number of rows")


class Parameters(BaseModel):
    """What goes wrong, if anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fail: str = Field("", description="the party that fails")
    odd: bool = Field(False, description="an output that no codec takes")


def _swap(task: Task, parameters: Parameters) -> Result:
    party = task.party
    rows = task.inputs["table"].num_rows
    party.progress("swap", 0, 1)
    party.metric("rows", rows, 1)
    total = rows
    for peer in sorted(party.roles.keys() - {party.name}):
        party.channel.send(peer, "number", Number(rows))
        total += party.channel.receive(peer, "number", Number).value
    if parameters.fail == party.name:
        raise ValueError("with a value in it")
    draw = int(party.public_rng.generator(task.step, 0, "draw").integers(1 << 40))
    value: Any = object() if parameters.odd else {"total": total, "draw": draw}
    return Result({"sum": value}, {"sum.txt": f"{total}\n".encode()})


def _describe(facts: Facts, parameters: Parameters) -> Terms:
    return Terms()


SWAP = Component(
    "swap",
    "1",
    Parameters,
    _swap,
    _describe,
    sources=("atoll.components",),
    inputs={"table": Port("table")},
    outputs={"sum": "swap.sum"},
)
SMALL: dict[str, Component] = {"reader": READER, "swap": SWAP}


def small_job(**parameters: Any) -> Job:
    return parse_job(
        {
            "name": "small",
            "parties": {"bank": "guest", "shop": "host"},
            "steps": {
                "reader": {
                    "component": "reader",
                    "parameters": {"tables": {"bank": "loans", "shop": "visits"}},
                },
                "swap": {
                    "component": "swap",
                    "inputs": {"table": "reader.table"},
                    "parameters": parameters,
                },
            },
        }
    )


def small_tables() -> dict[str, dict[str, Table]]:
    return {
        "bank": {"loans": toy.table(7, label=True)},
        "shop": {"visits": toy.table(9, label=False, shift=3)},
    }


@dataclass
class Node:
    """One party: its folder with outputs and tables, and the results of its steps."""

    party: str
    folder: Path
    tables: Mapping[str, OwnTable]
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    all: dict[str, Node] = field(default_factory=dict)

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs"

    def value(self, step: str, name: str) -> Any:
        """Decode an output."""
        entry = self.results[step]["outputs"][name]
        return load(entry["kind"], self.outputs / entry["digest"], entry["digest"])

    def bytes_of(self, step: str, file: str) -> bytes:
        path = self.outputs / str(self.results[step]["files"][file]["digest"])
        return path.read_bytes()

    def spec(self, job: Job, step: str, catalogue: Catalogue, **changes: Any) -> TaskSpec:
        """Make what this party's worker is told of a step."""
        whole: dict[str, Any] = {
            "job_id": JOB_ID,
            "job": job,
            "step": step,
            "attempt": 0,
            "party": self.party,
            "plan_digest": PLAN,
            "outputs_folder": self.outputs,
        }
        if step != COIN_STEP:
            whole |= {
                "component": job.steps[step].component,
                "parameters": filled(job, catalogue)[step].model_dump(mode="json"),
                "inputs": self._inputs(job, step),
                "tables": dict(self.tables),
                "seed_path": self._seed(),
                **meeting(job, step, catalogue, self.all or {self.party: self}),
            }
        return TaskSpec.model_validate({**whole, **changes})

    def _inputs(self, job: Job, step: str) -> dict[str, InputArtifact]:
        found = {}
        for port, source in job.steps[step].inputs.items():
            at, _, output = source.partition(".")
            entry = self.results.get(at, {}).get("outputs", {}).get(output)
            if entry is not None:
                path = self.outputs / entry["digest"]
                found[port] = InputArtifact(kind=entry["kind"], digest=entry["digest"], path=path)
        return found

    def _seed(self) -> Path | None:
        toss = self.results.get(COIN_STEP)
        return None if toss is None else self.outputs / toss["outputs"]["seed"]["digest"]


def meeting(
    job: Job, step: str, catalogue: Catalogue, places: Mapping[str, Node]
) -> dict[str, Any]:
    """Return who takes part in a step, given what each has by now, and who talks to whom."""
    component, parameters = catalogue[job.steps[step].component], filled(job, catalogue)[step]
    held: dict[str, list[str]] = {}
    for port, source in job.steps[step].inputs.items():
        at, _, output = source.partition(".")
        made = {p: place.results.get(at, {}).get("outputs", {}) for p, place in places.items()}
        held[port] = [party for party, outputs in made.items() if output in outputs]
    seats = taking_part(step, component, job.parties, parameters, held)
    edges = component.edges_of(parameters)
    quorum = component.quorum(parameters)
    return {"seats": tuple(map(str, seats)), "edges": edges.plain(), "quorum": dict(quorum)}


def node(party: str, folder: Path, tables: Mapping[str, Table]) -> Node:
    """Make a party with its tables in files."""
    mine = folder / party
    (mine / "outputs").mkdir(parents=True)
    own = {}
    for name, table in tables.items():
        path = mine / f"{name}.arrow"
        write(table, path)
        own[name] = OwnTable(
            path=path, id=table.id_name, label=table.label_name, digest=table.digest()
        )
    return Node(party, mine, own)


def nodes(folder: Path, tables: Mapping[str, Mapping[str, Table]]) -> dict[str, Node]:
    found = {party: node(party, folder, held) for party, held in tables.items()}
    for made in found.values():
        made.all = found
    return found


def play(
    specs: Mapping[str, TaskSpec],
    catalogue: Catalogue = CATALOGUE,
    *,
    catalogues: Mapping[str, Catalogue] | None = None,
    events: Events = silent,
    cancelled: frozenset[str] = frozenset(),
    faults: Mapping[str, Sequence[Fault]] | None = None,
) -> world.World:
    """Run one step as all parties over memory transports."""
    roles = {party: spec.job.first_roles[party] for party, spec in specs.items()}

    def live(party: Party) -> dict[str, Any]:
        cancel = Cancel()
        if party.name in cancelled:
            cancel.request()
        around = TaskContext(
            transport=party.channel.transport,
            catalogue=(catalogues or {}).get(party.name, catalogue),
            events=events,
            limits=party.limits,
            clock=party.clock,
            cancel=cancel,
        )
        return execute(specs[party.name], around)

    return world.run(roles, live, faults=faults)


def play_job(job: Job, places: Mapping[str, Node], catalogue: Catalogue = CATALOGUE) -> None:
    """Run a whole job, step after step."""
    for step in (COIN_STEP, *order(job)):
        specs = {party: at.spec(job, step, catalogue) for party, at in places.items()}
        specs = {party: spec for party, spec in specs.items() if spec.mine}
        for party, result in play(specs, catalogue).check().results.items():
            places[party].results[step] = result
