"""Makes job documents over the whole catalogue, each from one number: graph k is always the same.

A graph is tame or odd: a tame one wires what fits and mostly runs, in an odd one anything may be
wrong. What is known here of an output only steers the dice; the plan alone decides.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from atoll.components.catalogue import CATALOGUE
from atoll.jobs.schema import Port, party_local
from tests.simulation.graphs import values
from tests.simulation.graphs.tables import Frames, Shape, frames

PARTIES = ("bank", "shop", "mill", "farm")
TABLES = ("people", "others")
STEPS = 8
# How often each component is tried; one that is not here is unknown to the generator.
WEIGHTS = {
    "reader": 1,
    "psi": 4,
    "statistics": 2,
    "union": 4,
    "sample": 5,
    "split": 5,
    "imputation": 3,
    "scale": 5,
    "boosting": 7,
    "model": 6,
    "fitted": 10,
    "transform": 10,
    "prediction": 7,
    "evaluation": 6,
    "download": 3,
    "synthetic": 1,
}
# Here no party has a registry, so what is registered must come from a step.
REGISTERED = frozenset({"model", "fitted"})
# They train and score at parties that all have the whole model.
OF_CLIENTS = frozenset(
    {
        "horizontal",
        "horizontal_statistics",
        "horizontal_scale",
        "horizontal_binning",
        "horizontal_kmeans",
        "horizontal_boosting",
        "local_prediction",
        "cluster_evaluation",
    }
)
_NAMES = ("a", "first", "psi", "read-me", "x_1", "flow", "plan", "run", "histogram", "z" * 63)
_BAD_NAMES = ("agreement", "coin-toss", "start", "finish", "hello", "Upper", "a.b", "", "z" * 64)


@dataclass(frozen=True)
class Graph:
    """A job's plain form, and each party's tables by name."""

    number: int
    document: dict[str, Any]
    tables: Frames


@dataclass(frozen=True)
class _Made:
    """An output so far, and what the generator believes of it."""

    source: str
    kind: str
    everywhere: bool = True
    aligned: bool = False
    label: bool = True
    columns: str = ""


def make(number: int, *, odd: float | None = None) -> Graph:
    """Return the graph of a number; ``odd`` is the chance of each oddity (None: drawn)."""
    draw = random.Random(f"graphs/{number}")
    if odd is None:
        odd = draw.choice([0.0, 0.0, 0.0, 0.02, 0.02, 0.1])
    return _Maker(draw, odd).graph(number)


@dataclass
class _Maker:
    draw: random.Random
    odd: float
    roles: dict[str, str] = field(default_factory=dict)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    made: list[_Made] = field(default_factory=list)
    tables: Frames = field(default_factory=dict)

    def graph(self, number: int) -> Graph:
        draw = self.draw
        self.roles = self._roles()
        shape = Shape.draw(draw, self.roles, self.odd)
        self.tables = frames(draw, shape, TABLES)
        aligned = shape.shape == "equal" and draw.random() < 0.5
        for name in TABLES[: draw.choice([1, 2])]:
            self._add("reader", table=name, aligned=aligned)
        if not aligned and not self._strange():
            self._add("psi")
        for _ in range(draw.randint(1, STEPS)):
            self._add(self._component())
        document: dict[str, Any] = {"name": "graph", "parties": self.roles, "steps": self.steps}
        if draw.random() < 0.3:
            document["seed"] = draw.choice([0, 7, (1 << 63) - 1])
        if self._strange():
            document |= draw.choice([{"seed": -1}, {"seed": 1 << 63}, {"name": ""}, {"more": 1}])
        return Graph(number, document, self.tables)

    def _strange(self, share: float = 1.0) -> bool:
        return self.draw.random() < self.odd * share

    def _roles(self) -> dict[str, str]:
        draw = self.draw
        count = draw.choices([1, 2, 3, 4], [0.5 * self.odd, 6, 2, 1])[0]
        parties = draw.sample(PARTIES, count)
        roles = dict.fromkeys(parties, "host")
        roles[draw.choice(parties)] = "guest"
        if self._strange(0.5):
            roles[draw.choice(parties)] = draw.choice(["guest", "host", "arbiter"])
        return roles

    # Steps.

    def _component(self) -> str:
        """Choose a component for which there is something to take."""
        names = [name for name in WEIGHTS if self._strange() or self._possible(name)]
        return self.draw.choices(names, [WEIGHTS[name] for name in names])[0]

    def _possible(self, component: str) -> bool:
        ports = CATALOGUE[component].inputs.values()
        needed = (port for port in ports if component in REGISTERED or not port.optional)
        return all(self._fitting(port) for port in needed)

    def _fitting(self, port: Port) -> list[_Made]:
        return [
            made
            for made in self.made
            if port.accepts(made.kind)
            and (made.aligned or not port.aligned)
            and (made.everywhere or not port.everywhere)
            and (made.label or not port.label)
        ]

    def _add(self, component: str, *, table: str | None = None, aligned: bool = False) -> None:
        """Add a step, and believe something of its outputs."""
        inputs, used = self._inputs(component)
        parameters = values.chosen(self.draw, component, self.odd)
        if component == "reader":
            parameters |= self._reader(table or self.draw.choice(TABLES), aligned)
        if component == "sample":
            parameters = self._sample(used)
        self._tame(component, parameters, inputs)
        self._spoil(component, parameters)
        step = {"component": component, "inputs": inputs, "parameters": parameters}
        overrides = self._overrides(component, parameters)
        if overrides:
            step["overrides"] = overrides
        name = self._name(component)
        self.steps[name] = step
        self._believe(name, component, parameters, used)

    def _name(self, component: str) -> str:
        if self._strange(0.2):
            return self.draw.choice(_BAD_NAMES)
        stem = self.draw.choice(_NAMES) if self.draw.random() < 0.2 else component
        free = (f"{stem}{at or ''}"[:63] for at in range(100))
        return next((name for name in free if name not in self.steps), f"step{len(self.steps)}")

    # Inputs.

    def _inputs(self, component: str) -> tuple[dict[str, Any], list[_Made]]:
        inputs: dict[str, Any] = {}
        used: list[_Made] = []
        for name, port in CATALOGUE[component].inputs.items():
            wanted = not port.optional or component in REGISTERED
            if not wanted and self._fitting(port):
                wanted = self.draw.random() < 0.4
            if self._strange(0.3):
                wanted = not wanted
            if not wanted:
                continue
            if not port.many:
                found = self._source(port, used)
                inputs[name] = found.source
                used.append(found)
                continue
            several = [self._source(port, used) for _ in range(self.draw.choice([1, 2, 2, 3]))]
            inputs[name] = [found.source for found in several]
            used += several
        if self._strange(0.2):
            inputs[self.draw.choice(["table", "more", "table.0", "tables"])] = "reader.table"
        return inputs, used

    def _source(self, port: Port, used: list[_Made]) -> _Made:
        """Choose where an input comes from: what fits, and rather of the same columns."""
        draw = self.draw
        if self._strange(0.2):
            return _Made(draw.choice(["nobody.table", "reader", "reader.rows", ""]), port.kind)
        fitting = self._fitting(port)
        if self._strange() or not fitting:
            fitting = [made for made in self.made if port.accepts(made.kind)]
        if self._strange(0.5) or not fitting:
            fitting = self.made or [_Made("reader.table", "table")]
        # A union takes what has the same columns, at the same parties.
        alike = [
            made
            for made in fitting
            if used and (made.columns, made.everywhere) == (used[0].columns, used[0].everywhere)
        ]
        fresh = [made for made in alike or fitting if made not in used]
        # The newest output more often than old ones, so that chains grow.
        chosen = fresh if fresh and draw.random() < 0.9 else alike or fitting
        return draw.choices(chosen, range(1, len(chosen) + 1))[0]

    # Parameters.

    def _reader(self, table: str, aligned: bool) -> dict[str, Any]:
        tables = dict.fromkeys(self.roles, table)
        if self._strange(0.2):
            tables.pop(self.draw.choice(list(tables)))
        if self._strange(0.2):
            tables |= {self.draw.choice([*self.roles, "stranger"]): "nothing"}
        label = "" if self.draw.random() < 0.1 else "y"
        if self._strange():
            label = self.draw.choice(["label", "id", "bank0", "y"])
        stated = not aligned if self._strange(0.5) else aligned
        return {"tables": tables, "id": "id", "label": label, "aligned": stated}

    def _sample(self, used: list[_Made]) -> dict[str, Any]:
        draw = self.draw
        labelled = all(made.label for made in used) or self._strange()
        method = draw.choice(["random", "stratified"]) if labelled else "random"
        size = draw.choice(["fraction", "count", *["shares"] * labelled])
        if size == "shares":
            method = "stratified"
        found: dict[str, Any] = {"method": method}
        if size == "fraction" or self._strange(0.2):
            found["fraction"] = draw.choice([0.01, 0.5, 0.9, 1.0])
        if size == "count" or self._strange(0.2):
            found["count"] = draw.choice([1, 2, 5, 10, 20, 40, *[1000] * self._strange()])
        if size == "shares":
            shares = [0.0, 0.1, 0.5, 1.0, 1.0]
            classes = draw.choice([(0, 1), (0, 1), (0, 1), (0, 1), (-1, 1), (0, 1, 2), (1,)])
            found["shares"] = [{"label": c, "fraction": draw.choice(shares)} for c in classes]
        return found

    def _tame(self, component: str, parameters: dict[str, Any], inputs: dict[str, Any]) -> None:
        """Leave out what would be refused for certain, but for an odd step."""
        if self._strange():
            return
        if component == "psi" and len(self.roles) > 2:
            parameters["protocol"] = "ecdh"
            if parameters.get("receivers") in ("host", "none"):
                parameters["receivers"] = "guest"
        if component == "boosting":
            if "validation" not in inputs:
                parameters.pop("early_stopping_rounds", None)
            if parameters.get("scale_bits") != 4:
                parameters["host_noise"] = min(parameters.get("host_noise", 0.0), 4.0)
        if component == "psi":
            parameters["minimum_intersection"] %= 1000
        if component == "union" and not self._apart(inputs):
            parameters["duplicates"] = "keep-first"
        if component == "reader" and not self._labelled(parameters):
            parameters["label"] = ""

    def _apart(self, inputs: dict[str, Any]) -> bool:
        """Return whether a union's sources are the two sides of a split, or a single one."""
        sources = {str(source).partition(".")[0] for source in inputs.get("tables", ())}
        names = set(inputs.get("tables", ()))
        return len(names) == len(inputs.get("tables", ())) and len(sources) < 2

    def _labelled(self, parameters: dict[str, Any]) -> bool:
        """Return whether the guest's table has the label."""
        guests = [party for party, role in self.roles.items() if role == "guest"]
        tables = [self.tables[party].get(parameters["tables"].get(party)) for party in guests]
        return all(table is None or "y" in table.column_names for table in tables)

    def _spoil(self, component: str, parameters: dict[str, Any]) -> None:
        """Put an edge of the schema in place of a parameter, or one that does not exist."""
        model = CATALOGUE[component].parameters
        if self.draw.random() < 0.02 + self.odd / 3 and model.model_fields:
            name = self.draw.choice(list(model.model_fields))
            if name not in ("tables", "method") or self._strange():
                parameters[name] = values.edge(self.draw, component, model, name)
        if self._strange(0.1):
            parameters["no_such"] = 1

    def _overrides(self, component: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Choose parameters that differ at parties: their own columns, and whatever may differ."""
        draw, model = self.draw, CATALOGUE[component].parameters
        found: dict[str, dict[str, Any]] = {}
        own = sorted(party_local(model))
        for party in self.roles:
            mine: dict[str, Any] = {}
            if component == "reader":
                mine = self._own_id(party, parameters)
            if "columns" in own and draw.random() < 0.3:
                mine["columns"] = self._columns(party)
            if own and draw.random() < 0.1 and (component != "reader" or self._strange()):
                mine |= {k: v for k, v in values.chosen(draw, component, 0).items() if k in own}
            if self._strange(0.2) and model.model_fields:
                name = draw.choice(list(model.model_fields))
                mine[name] = values.edge(draw, component, model, name)
            if mine:
                found["stranger" if self._strange(0.1) else party] = mine
        return found

    def _own_id(self, party: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Name a party's id column where its table calls it otherwise."""
        named = parameters["tables"].get(party)
        table = self.tables[party].get(named)
        other = table is not None and "key" in table.column_names
        if other and not self._strange():
            return {"id": "key"}
        return {"id": "id2"} if self._strange(0.2) else {}

    def _columns(self, party: str) -> list[str]:
        """Choose names of columns out of those that a party's tables have, and others."""
        draw = self.draw
        table = self.tables[party].get(draw.choice(TABLES))
        names = [] if table is None else [n for n in table.column_names if n not in ("id", "key")]
        if draw.random() < 0.1 + self.odd:
            names += ["y", "score", "label", "id", "nothing", f"{party}0"]
        return draw.sample(names, min(len(names), draw.choice([0, 1, 1, 2])))

    # What the generator believes.

    def _believe(
        self, name: str, component: str, parameters: dict[str, Any], used: list[_Made]
    ) -> None:
        both = parameters.get("receivers", "both") == "both"
        aligned = all(made.aligned for made in used)
        label = all(made.label for made in used)
        columns = used[0].columns if used else str(parameters.get("tables", name))
        if component in ("reader", "synthetic"):
            aligned = parameters.get("aligned") is True
            label = parameters.get("label", "y") == "y"
        if component == "psi":
            aligned = True
        everywhere = both and all(made.everywhere for made in used if made.kind == "table")
        for output, kind in CATALOGUE[component].outputs.items():
            if kind == "scores":
                made = _Made(f"{name}.{output}", kind, False, False, label, columns)
            else:
                made = _Made(f"{name}.{output}", kind, everywhere, aligned, label, columns)
            self.made.append(made)
