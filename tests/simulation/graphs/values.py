"""Parameters for generated graphs: hand-written interesting values, and edges of the schema."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Pools = Mapping[str, tuple[Any, ...]]

# By component: values that the parameter class takes, each of which once was or may be an edge.
POOLS: Mapping[str, Pools] = {
    "reader": {"id": ("id", "key"), "label": ("y", ""), "aligned": (True, False)},
    "psi": {
        "protocol": ("ideal", "ideal", "ideal", "ecdh"),
        "minimum_intersection": (0, 0, 1, 1, 5, 20, 1000),
        "receivers": ("both", "both", "both", "both", "guest", "host", "none"),
        "chunk_rows": (1, 7, 1 << 15),
    },
    "statistics": {
        "label": (True, False),
        "quantiles": ((), (0.0,), (0.5,), (1.0, 0.0), (0.05, 0.95)),
        "distinct_limit": (1, 2, 1000),
        "ddof": (0, 1),
        "unbiased": (True, False),
    },
    "union": {"duplicates": ("error", "keep-first")},
    "sample": {},
    "split": {"fraction": (0.01, 0.2, 0.5, 0.8, 0.99), "seed": (None, 0, 3, (1 << 63) - 1)},
    "boosting": {
        "trees": (1, 2, 3),
        "depth": (1, 2, 3),
        "learning_rate": (0.01, 0.3, 1.0),
        "bins": (2, 3, 32, 254),
        "reg_lambda": (0.0, 0.0, 1.0, 1e9),
        "gamma": (0.0, 0.0, 0.5, 1e9),
        "minimum_child_weight": (0.0, 0.0, 1.0, 1e9),
        "minimum_rows": (0, 0, 0, 0, 1, 1, 1, 1, 2, 5, 5, 20),
        "minimum_leaf_rows": (None, None, 0, 1, 5, 1 << 30),
        "minimum_class_rows": (0, 0, 1, 5, 1 << 30),
        "row_sample": (0.01, 0.5, 1.0),
        "column_sample": (0.01, 0.5, 1.0),
        "early_stopping_rounds": (0, 1, 1, 2),
        "host_noise": (0.0, 0.0, 1.0, 4.0, 4.1, 100.0),
        "scale_bits": (None, 4, 10, 12),
        "base_score": ("mean", "half"),
        "implementation": ("ideal",) * 15 + ("elgamal",),
    },
    "imputation": {
        "method": ("mean", "median", "minimum", "maximum", "most_frequent", "none"),
        "missing": ((), (0.0,), (-999.0, 1.0)),
        "bounds": ("none", "iqr", "deviation"),
        "times": (0.01, 1.5, 1e6),
        "outliers": ("clip", "fill"),
    },
    "scale": {
        "method": ("standard", "min-max"),
        "bounds": ("value", "quantile"),
        "lower": (None, 0.0, 0.1),
        "upper": (None, 0.9, 1.0),
        "with_mean": (True, False),
        "with_std": (True, False),
        "convention": ("exact", "fate"),
    },
    "fitted": {
        "model": ("loans",),
        "step": ("scale",),
        "kind": ("scale.transform",),
        "parties": ((), (), ("bank",)),
    },
    "transform": {},
    "model": {"model": ("loans", "a.b-c_d"), "version": (1, 2)},
    "prediction": {},
    "evaluation": {
        "threshold": (0.0, 0.3, 0.5, 1.0),
        "task": ("binary", "binary", "regression"),
        "names": ((), ("first",), ("first", "second")),
    },
    "download": {
        "format": ("csv", "parquet"),
        "name": ("table", "report", "0"),
        "write": (True, True, False),
        "escape_formulas": (True, False),
    },
    "synthetic": {"rows": (8, 9, 40, 80), "columns": (1, 2, 4), "seed": (0, 1, 2)},
}
# Set in every step, and cheap: the defaults would take long (or need many rows).
ALWAYS: Mapping[str, frozenset[str]] = {
    "psi": frozenset({"protocol", "minimum_intersection"}),
    "boosting": frozenset({"trees", "depth", "implementation", "minimum_rows"}),
    "model": frozenset({"model"}),
    "fitted": frozenset({"model", "step", "kind"}),
    "synthetic": frozenset({"rows"}),
}
# Where an edge of the schema that is taken would run for long.
COSTLY = frozenset({("boosting", "trees"), ("boosting", "depth"), ("synthetic", "rows")})
_CHANCE = 0.3


def chosen(draw: random.Random, component: str, odd: float) -> dict[str, Any]:
    """Return some parameters of a component out of its pools."""
    always = ALWAYS.get(component, frozenset())
    return {
        name: draw.choice(pool)
        for name, pool in POOLS[component].items()
        if name in always or draw.random() < _CHANCE + odd / 2
    }


def edge(draw: random.Random, component: str, parameters: type[BaseModel], name: str) -> Any:
    """Return a value at, or just beyond, an edge of a parameter's schema."""
    whole = parameters.model_json_schema()
    form = whole["properties"][name]
    if (component, name) in COSTLY:
        return draw.choice([form["minimum"], form["minimum"] - 1, form["maximum"] + 1])
    return _edge(draw, form, whole.get("$defs", {}))


def _edge(draw: random.Random, form: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    if "$ref" in form:
        form = known[form["$ref"].rpartition("/")[2]]
    if "anyOf" in form:
        return _edge(draw, draw.choice(form["anyOf"]), known)
    if "enum" in form:
        return draw.choice([*form["enum"], "another", None])
    kind = form.get("type")
    if kind in ("integer", "number"):
        return draw.choice(_numbers(form))
    if kind == "string":
        long = "x" * (form.get("maxLength", 64) + 1)
        return draw.choice(["", "x", " ", "../x", long, 1])
    if kind == "array":
        item = _edge(draw, form["items"], known)
        return draw.choice([[], [item], [item, item], [item] * (min(form["maxItems"], 100) + 1), 1])
    if kind == "object" and "properties" in form:
        return {name: _edge(draw, part, known) for name, part in form["properties"].items()}
    return draw.choice([True, False, None, 0, "yes", {}, []])


def _numbers(form: Mapping[str, Any]) -> list[Any]:
    step = 1 if form["type"] == "integer" else 1e-9
    low, high = form.get("minimum"), form.get("maximum")
    if low is None:
        low = form["exclusiveMinimum"] + step
    if high is None:
        high = form["exclusiveMaximum"] - step
    within = [low, high, (low + high) // 2]
    beyond = [low - step, high + step, None, "1", True]
    return [*within * 10, *beyond * 4, float("nan")]
