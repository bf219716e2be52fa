"""Components of every shape, as the scaffold writes them, through public seams alone."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from atoll.channel.faulty import Fault
from atoll.cli.plan_text import plan_lines
from atoll.components import plugins
from atoll.components.api import Component
from atoll.components.catalogue import CATALOGUE
from atoll.components.scaffold import SHAPES, write
from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.flow import planning
from atoll.flow.planning import COIN_STEP
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import TableFacts
from atoll.sdk.frames import FrameTables
from atoll.table import ID_RULE, Table
from tests.components import packages
from tests.flow.work import little
from tests.whole import Planned, play

GLUE = 60
CLIENTS = tuple(f"client-{at}" for at in range(9))


def table(rows: int, *, label: bool = True) -> Table:
    ids = pa.array([f"row-{at:04d}" for at in range(rows)])
    columns = {"x": pa.array([float(at) for at in range(rows)])}
    if label:
        columns["y"] = pa.array([float(at % 2) for at in range(rows)])
    return Table.from_columns(ids, columns, label="y" if label else None)


def glue(text: str) -> int:
    """Count the lines of code, without documentation and blank lines."""
    tree = ast.parse(text)
    sending: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            sending |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(1 for at, line in lines if line.strip() and at not in sending)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_runs_as_it_is_written(shape: str, tmp_path: Path) -> None:
    """Its own tests pass: the conformance suite, and a whole job."""
    write(f"own-{shape}", tmp_path / "own", shape)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=tmp_path / "own",
        env={**os.environ, "ATOLL_INSECURE_SIMULATION": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_what_joins_an_algorithm_to_the_platform_is_short(tmp_path: Path) -> None:
    counts = {}
    for shape in SHAPES:
        write(f"own-{shape}", tmp_path / shape, shape)
        (package,) = (tmp_path / shape / "src").iterdir()
        counts[shape] = glue((package / "__init__.py").read_text())
    print("lines of glue:", ", ".join(f"{shape} {count}" for shape, count in counts.items()))
    assert max(counts.values()) < GLUE, counts


def test_there_is_no_other_shape(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        write("own", tmp_path / "own", "circle")
    assert caught.value.code == "ATL-CMP-016"
    assert not (tmp_path / "own").exists()


# -- ten parties, of whom three vanish ----------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mean")
    write("mean", folder / "written", "star")
    return packages.build(folder / "written", folder)


@pytest.fixture
def mean(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Component]:
    """The component of the shape ``star``, found as an installed one is."""
    target = packages.install(wheel, tmp_path / "target")
    with packages.on_path(monkeypatch, target) as places:
        digest = plugins.offer("mean", places).digest or ""
        yield plugins.catalogue({"mean": digest}, path=places)["mean"]


def job(least: int) -> Job:
    return parse_job(
        {
            "name": "ten",
            "parties": {"hub": "aggregator", **dict.fromkeys(CLIENTS, "client")},
            "steps": {
                "rows": {
                    "component": "reader",
                    "parameters": {"tables": dict.fromkeys(CLIENTS, "rows")},
                },
                "mean": {
                    "component": "mean",
                    "inputs": {"table": "rows.table"},
                    "parameters": {"column": "x", "least": least},
                },
            },
        }
    )


def started(folder: Path, graph: Job, catalogue: dict[str, Component]) -> dict[str, little.Node]:
    """Run the job up to the step that many take part in."""
    tables = {"hub": {}, **{name: {"rows": table(4 + at)} for at, name in enumerate(CLIENTS)}}
    places = little.nodes(folder, tables)
    for step in (COIN_STEP, "rows"):
        specs = {party: at.spec(graph, step, catalogue) for party, at in places.items()}
        specs = {party: spec for party, spec in specs.items() if spec.mine}
        for party, result in little.play(specs, catalogue).check().results.items():
            places[party].results[step] = result
    return places


# A client's messages in the step: hello out and in, the roster, the total, the mean, farewells.
@pytest.mark.parametrize("at", range(5))
def test_ten_parties_find_a_mean_of_whom_three_vanish(
    tmp_path: Path, mean: Component, at: int
) -> None:
    """They fall silent, at whatever message; the others end with what is left."""
    catalogue = {**CATALOGUE, "mean": mean}
    graph = job(least=6)
    places = started(tmp_path, graph, catalogue)
    assert "rows" not in places["hub"].results
    gone = CLIENTS[1:4]
    specs = {party: place.spec(graph, "mean", catalogue) for party, place in places.items()}
    faults = {name: [Fault("kill", at)] for name in gone}
    world = little.play(specs, catalogue, faults=faults)
    assert world.errors.keys() == set(gone)
    for party, result in world.results.items():
        places[party].results["mean"] = result
    values = [places[party].value("mean", "outcome") for party in world.results]
    assert len({value["mean"] for value in values}) == 1
    # Who told its total before it vanished is in the mean.
    sending = [name for name in CLIENTS if name not in gone or at > 3]
    rows = [float(row) for name in sending for row in range(4 + CLIENTS.index(name))]
    assert values[0]["mean"] == pytest.approx(sum(rows) / len(rows))


def test_a_mean_of_too_few_is_none(tmp_path: Path, mean: Component) -> None:
    catalogue = {**CATALOGUE, "mean": mean}
    graph = job(least=7)
    places = started(tmp_path, graph, catalogue)
    specs = {party: place.spec(graph, "mean", catalogue) for party, place in places.items()}
    faults = {name: [Fault("kill", 3)] for name in CLIENTS[1:4]}
    world = little.play(specs, catalogue, faults=faults)
    assert not world.results
    assert getattr(world.errors["hub"], "code", None) == "ATL-NET-048"


def test_clients_talk_to_the_aggregator_alone(tmp_path: Path, mean: Component) -> None:
    catalogue = {**CATALOGUE, "mean": mean}
    graph = job(least=9)
    places = started(tmp_path, graph, catalogue)
    specs = {party: place.spec(graph, "mean", catalogue) for party, place in places.items()}
    assert all(specs[client].peers == {"hub"} for client in CLIENTS)
    results = little.play(specs, catalogue).check().results
    for client in CLIENTS:
        assert {row["peer"] for row in results[client]["traffic"]} == {"hub"}


def test_whoever_has_no_table_is_asked_for_none(mean: Component) -> None:
    """The plan of ten parties: nobody but the clients reads, and the aggregator holds no rows."""
    tables = {name: {"rows": table(4)} for name in CLIENTS}
    graph = job(least=6)
    plan = Planned(graph, held(tables), {**CATALOGUE, "mean": mean}).plan
    assert plan is not None
    assert plan.seats["rows"] == tuple(f"{name}:client" for name in CLIENTS)
    assert plan.seats["mean"] == (*plan.seats["rows"], "hub:aggregator")
    assert plan.tables["hub"] == {}
    centre = star_of(Role.AGGREGATOR)
    assert plan.edges == {"rows": (), "mean": centre, COIN_STEP: centre}
    assert plan.implementations[COIN_STEP] == "relayed"
    assert plan.peers_of(COIN_STEP, "client-3") == {"hub"}
    assert plan.quorum == {"mean": {"client": 6}}
    assert plan.owners["rows.table"] == CLIENTS
    shown = "\n".join(plan_lines(plan))
    assert "mean goes on while at least 6 clients stay" in shown
    assert re.search(r"^rows +client-0, client-1", shown, flags=re.MULTILINE)
    assert re.search(r"^mean +all +mean.plain", shown, flags=re.MULTILINE)


def held(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, FrameTables]:
    return {party: FrameTables(own) for party, own in tables.items()}


def star_of(centre: Role) -> tuple[str, ...]:
    others = [role for role in Role if role != centre]
    return tuple(sorted(" ".join(sorted((centre.value, role.value))) for role in others))


# Every party agrees with every other, so the work grows with the square of their number.
@pytest.mark.parametrize("count", [24, pytest.param(256, marks=pytest.mark.drill)])
def test_many_parties_run_a_job(mean: Component, count: int) -> None:
    clients = [f"client-{at}" for at in range(count - 1)]
    parties: dict[str, Any] = {"hub": "aggregator", **dict.fromkeys(clients, "client")}
    steps = job(least=count // 2).canonical()["steps"]
    steps["rows"]["parameters"]["tables"] = dict.fromkeys(clients, "rows")
    graph = {"name": "many", "parties": parties, "steps": steps}
    tables = {name: {"rows": table(2)} for name in clients}
    lived = play(parse_job(graph), held(tables), {**CATALOGUE, "mean": mean}).check()
    outcomes = [one.results["mean"].outputs["outcome"] for one in lived.results.values()]
    assert {outcome["mean"] for outcome in outcomes} == {0.5}
    assert len(outcomes) == count


def test_256_parties_make_one_plan(mean: Component) -> None:
    clients = [f"client-{at}" for at in range(255)]
    graph = job(least=200).canonical()
    graph["parties"] = {"hub": "aggregator", **dict.fromkeys(clients, "client")}
    graph["steps"]["rows"]["parameters"]["tables"] = dict.fromkeys(clients, "rows")
    made = parse_job(graph)
    facts = TableFacts(name="rows", digest="1" * 64, rows=4, columns=("x",), id_rule=ID_RULE)
    declared = {name: {"rows": facts} for name in clients} | {"hub": {}}
    prints = dict.fromkeys(made.parties, "2" * 64)
    plan = planning.build(made, {**CATALOGUE, "mean": mean}, declared, prints)
    assert len(plan.seats["mean"]) == 256
    assert plan.peers_of("mean", "client-7") == {"hub"}
    assert len(plan.peers_of("mean", "hub")) == 255
