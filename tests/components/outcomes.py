"""What a whole job left, told by ids and names alone, and what must hold of it whatever it is."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyarrow import parquet

from atoll.components.api import Catalogue, Result
from atoll.components.scores import Scores
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.core.report import LinePanel, TextPanel
from atoll.jobs.definition import parse_job
from atoll.models.boosting import GuestPart, part_from_bytes
from atoll.models.boosting.part import LEAF
from atoll.models.imputation import FillPart
from atoll.models.scaling import ScalePart
from atoll.sdk.frames import FrameTables
from atoll.table import Table
from tests import whole
from tests.components.variations import GUEST, LABEL, Tables
from tests.whole import Whole

Job = Mapping[str, Any]
# By party, step and output or file.
Left = dict[str, dict[str, Any]]
Cells = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Played:
    """A job that was run: its description, the tables that went in, and what became of parties."""

    job: Job
    tables: Tables
    world: Whole

    @property
    def roles(self) -> Mapping[str, Role]:
        found: Mapping[str, Role] = self.job["parties"]
        return found


def hidden(error: AtollError) -> str:
    """Return the code of an error that partners must not tell from others of its kind."""
    return error.message[-12:-1] if error.code == "ATL-PLN-011" else ""


def play(job: Job, tables: Tables, catalogue: Catalogue) -> Played:
    """Run a job with every party in this process; what they raise is kept, each party's own."""
    held = {party: FrameTables(own) for party, own in tables.items()}
    return Played(job, tables, whole.play(parse_job(dict(job)), held, catalogue))


# -- what was left ----------------------------------------------------------------------------


def left(played: Played, steps: tuple[str, ...]) -> Left:
    """Return what these steps left at each party, by id and name. Errors: the first cause."""
    results = played.world.check().results
    found: Left = {}
    for party, outcome in results.items():
        found[party] = {}
        for step in steps:
            result = outcome.results.get(step, Result())
            for name, value in result.outputs.items():
                found[party][f"{step}.{name}"] = plain_value(value)
            for name, data in result.files.items():
                found[party][f"{step}/{name}"] = parsed(name, data)
            if result.report is not None:
                found[party] |= {
                    f"{step}: {panel.title}": {line.name: list(line.y) for line in panel.series}
                    for panel in result.report.panels
                    if isinstance(panel, LinePanel)
                }
    for step, parts in models(played).items():
        if step in steps:
            found[GUEST][f"{step}.model"] = trees(parts)
    return found


def plain_value(value: Any) -> Any:
    """Return an output by id and name; what a party's part of a model says is told by ``trees``."""
    if isinstance(value, Table):
        return by_id(value.to_arrow())
    if isinstance(value, Scores):
        return by_id(value.to_arrow())
    if isinstance(value, Mapping) and "columns" in value:
        return {**value, "columns": {line["name"]: _unnamed(line) for line in value["columns"]}}
    if isinstance(value, ScalePart):
        return {one.name: {"offset": one.offset, "divisor": one.divisor} for one in value.scaled}
    if isinstance(value, FillPart):
        return {one.name: {"value": one.value} for one in value.filled}
    if hasattr(value, "splits"):
        return {"columns": set(value.columns)}
    return value


def _unnamed(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "name"}


def by_id(data: Any) -> dict[str, dict[str, Any]]:
    """Return an Arrow table as {id: {column: value}}."""
    rows = {}
    for line in data.to_pylist():
        known = line.pop("id")
        rows[known.decode() if isinstance(known, bytes) else known] = line
    assert len(rows) == data.num_rows
    return rows


def parsed(name: str, data: bytes) -> Any:
    """Return what a file says, by id and name."""
    if name == "model.json":
        return {"columns": set(part_from_bytes(data).columns)}
    if name.endswith(".json"):
        return plain_value(json.loads(data))
    if name.endswith(".parquet"):
        return by_id(parquet.read_table(io.BytesIO(data)))
    lines = csv.DictReader(io.StringIO(data.decode()))
    return {line.pop("id"): {key: float(text) for key, text in line.items()} for line in lines}


def models(played: Played) -> dict[str, dict[str, Any]]:
    """Return the parts of each model by party."""
    found: dict[str, dict[str, Any]] = {}
    for party, outcome in played.world.results.items():
        for step, result in outcome.results.items():
            if "model" in result.outputs:
                found.setdefault(step, {})[party] = result.outputs["model"]
    return found


def trees(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model as nested trees whose splits name party and column, the hosts' too."""
    (part,) = (part for part in parts.values() if isinstance(part, GuestPart))
    owners = (part.party, *part.hosts)

    def node(tree: Any, at: int) -> Any:
        if tree.owner[at] == LEAF:
            return {"weight": tree.weight[at]}
        owner = owners[tree.owner[at]]
        split = parts[owner].splits[tree.split[at]]
        return {
            "party": owner,
            "column": parts[owner].columns[split.column],
            "below": split.threshold,
            "gain": tree.gain[at],
            "rows": tree.rows[at],
            "left": node(tree, tree.left[at]),
            "right": node(tree, tree.right[at]),
        }

    return {"base": part.base_margin, "trees": [node(tree, 0) for tree in part.trees]}


def notes(played: Played, party: str) -> str:
    """Return what the reports of a party say in words."""
    results = played.world.results[party].results.values()
    reports = [result.report for result in results if result.report is not None]
    panels = [panel for report in reports for panel in report.panels]
    return "\n".join(panel.text for panel in panels if isinstance(panel, TextPanel))


# -- comparing --------------------------------------------------------------------------------


def differences(found: Any, wanted: Any, place: str = "") -> Iterator[str]:
    """Say where two outcomes differ: keys in any order, numbers but for rounding."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        if found.keys() != wanted.keys():
            yield f"{place}: {sorted(found)} instead of {sorted(wanted)}"
        for key in found.keys() & wanted.keys():
            yield from differences(found[key], wanted[key], f"{place}/{key}")
    elif isinstance(found, list | tuple) and isinstance(wanted, list | tuple):
        if len(found) != len(wanted):
            yield f"{place}: {len(found)} instead of {len(wanted)}"
        for at, (one, other) in enumerate(zip(found, wanted, strict=False)):
            yield from differences(one, other, f"{place}/{at}")
    elif isinstance(found, float) and isinstance(wanted, float | int):
        if not math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12):
            yield f"{place}: {found} instead of {wanted}"
    elif found != wanted:
        yield f"{place}: {found!r} instead of {wanted!r}"


def same(found: Any, wanted: Any) -> None:
    unequal = list(differences(found, wanted))
    assert not unequal, "\n".join(unequal[:8])


def named(value: Any, names: Mapping[str, str]) -> Any:
    """Return an outcome with other names of columns."""
    if isinstance(value, Mapping):
        return {names.get(key, key): named(entry, names) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [named(entry, names) for entry in value]
    if isinstance(value, set):
        return {names.get(entry, entry) for entry in value}
    return names.get(value, value) if isinstance(value, str) else value


def without(value: Any, name: str) -> Any:
    """Return an outcome without a column."""
    if isinstance(value, Mapping):
        return {key: without(entry, name) for key, entry in value.items() if key != name}
    if isinstance(value, list | tuple):
        return [without(entry, name) for entry in value]
    return value - {name} if isinstance(value, set) else value


def count(value: Any, name: str) -> int:
    """Return how often a column is named."""
    if isinstance(value, Mapping):
        return sum((key == name) + count(entry, name) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return sum(count(entry, name) for entry in value)
    return int(name in value) if isinstance(value, set) else int(value == name)


# -- what always holds ------------------------------------------------------------------------


def cells(tables: Tables) -> Cells:
    """Return what went in: each party's {id: {column: value}}, all its tables together."""
    return {
        party: {key: row for data in named.values() for key, row in by_id(data).items()}
        for party, named in tables.items()
    }


def unfitted(found: Left) -> Left:
    """Return what steps left but for what they fitted, which need not name all columns."""
    return {
        party: {name: one for name, one in entries.items() if not name.endswith(".transform")}
        for party, entries in found.items()
    }


def unscaled(found: Left) -> Left:
    """Return the table of the step "it" with the values that went into its transform."""
    back: Left = {}
    for party, entries in found.items():
        fitted = entries["it.transform"]
        rows = {
            key: {name: _unscaled(fitted.get(name), value) for name, value in row.items()}
            for key, row in entries["it.table"].items()
        }
        back[party] = {"it.table": rows}
    return back


def _unscaled(fitted: Any, value: Any) -> Any:
    return value if fitted is None else value * fitted["divisor"] + fitted["offset"]


def check_cells(found: Left, given: Cells) -> None:
    """Every value in a table or file is the one that went in under its id and name."""
    for party, entries in found.items():
        for name, rows in entries.items():
            for key, row in _rows(name, rows):
                known = given[party][key]
                wrong = [c for c, value in row.items() if list(differences(value, known[c]))]
                assert not wrong, f"{party} {name}, {key}: {wrong}"


def _rows(name: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    scores = "scores" in name
    for key, row in value.items() if isinstance(value, Mapping) else ():
        if key.startswith("person-") and not scores:
            yield key, row


def check_orders(played: Played) -> None:
    """Tables of equal alignment hold the same ids in the same order, at all parties."""
    known: dict[str, list[bytes]] = {}
    for outcome in played.world.results.values():
        for result in outcome.results.values():
            for value in result.outputs.values():
                if isinstance(value, Table) and value.alignment is not None:
                    ids = value.ids().to_pylist()
                    assert known.setdefault(value.alignment, ids) == ids


def check_scores(played: Played, given: Cells) -> None:
    """Scores are those of the trees, walked by the names of columns in the rows of their ids."""
    found = models(played)
    if not found:
        return
    parts = next(iter(found.values()))
    assert all(trees(other) == trees(parts) for other in found.values())
    results = played.world.results[GUEST].results
    plain_value = [value for result in results.values() for value in result.outputs.values()]
    for scores in (value for value in plain_value if isinstance(value, Scores)):
        for line in scores.to_arrow().to_pylist():
            rows = {party: given[party][line["id"]] for party in played.roles}
            assert math.isclose(line["score"], score(parts, rows), rel_tol=1e-9)
            assert line.get("label") == rows[GUEST].get(LABEL)


def score(parts: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> float:
    """Return what a model says of one row, given each party's values by name."""
    model = trees(parts)
    margin = model["base"] + sum(_walk(tree, rows) for tree in model["trees"])
    return float(1 / (1 + math.exp(-margin)))


def _walk(node: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> float:
    while "column" in node:
        value = rows[node["party"]][node["column"]]
        node = node["left" if value < node["below"] else "right"]
    return float(node["weight"])


def check_losses(played: Played, found: Left, given: Cells) -> None:
    """The last loss over validation rows is that of the scores that the trees give them."""
    for step, parts in models(played).items():
        source = played.job["steps"][step]["inputs"].get("validation")
        if source is None:
            continue
        name, _, output = source.partition(".")
        rows = played.world.results[GUEST].results[name].outputs[output].ids().to_pylist()
        losses = []
        for key in (row.decode() for row in rows):
            score_of = score(parts, {party: given[party][key] for party in played.roles})
            losses.append(-math.log(score_of if given[GUEST][key][LABEL] else 1 - score_of))
        plain_value = found[GUEST][f"{step}: Loss"]["validation"][-1]
        assert math.isclose(plain_value, sum(losses) / len(losses))


def check_parts(played: Played, table: str) -> None:
    """Each part of a model has exactly the columns that its party trained on."""
    for parts in models(played).values():
        for party, part in parts.items():
            columns = set(played.tables[party][table].column_names) - {"id", LABEL}
            assert set(part.columns) == columns


def check_metrics(played: Played) -> None:
    """Figures of an evaluation are those of the scores that went in."""
    for name, step in played.job["steps"].items():
        result = played.world.results[GUEST].results[name]
        if step["component"] != "evaluation":
            continue
        for port, part in (("scores", "test"), ("train", "train")):
            source, _, output = step["inputs"][port].partition(".")
            scores = played.world.results[GUEST].results[source].outputs[output]
            figures = result.outputs["metrics"][part]
            ones, zeros = scores.score[scores.label == 1], scores.score[scores.label == 0]
            above = np.sign(np.subtract.outer(ones, zeros))
            assert math.isclose(figures["auc"], (above.mean() + 1) / 2)
            assert figures["rows"] == len(scores.score)


def check_statistics(found: Left, given: Cells) -> None:
    """Figures of a column are those of its values."""
    for party, entries in found.items():
        for value in entries.values():
            if isinstance(value, Mapping) and isinstance(value.get("columns"), Mapping):
                for column, figures in value["columns"].items():
                    values = np.array([row[column] for row in given[party].values()])
                    assert figures["count"] == value["rows"] == len(values)
                    assert math.isclose(figures["mean"], values.mean())
                    assert math.isclose(figures["maximum"], values.max())
