"""New rows are scored by clients that hold whole models, scaled as all rows were together."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.jobs.definition import Job, parse_job
from atoll.sdk import Client
from tests.e2e.nodes import TestNode, nodes, until
from tests.e2e.test_predict_job import registered

LIMIT = 120.0
CLIENTS = ("one", "two", "three")
USED = [
    "reader",
    "horizontal",
    "horizontal_scale",
    "horizontal_binning",
    "horizontal_boosting",
    "local_prediction",
    "scale",
    "model",
    "fitted",
    "transform",
]
BOOSTED = {"trees": 4, "depth": 2, "bins": 8, "cells": 64, "sketch_rounds": 3}


def table(seed: int) -> bytes:
    """Return a client's rows as CSV, on a range of its own; the label follows from both columns."""
    random = np.random.default_rng(seed)
    values = (random.normal(size=(200, 2)) + seed) * [100.0, 0.01]
    label = (values @ [0.01, 100.0] > 2).astype(int)
    lines = [
        f"{seed}-{at},{y},{a},{b}"
        for at, (y, (a, b)) in enumerate(zip(label, values.tolist(), strict=True))
    ]
    return "\n".join(["id,y,a,b", *lines, ""]).encode()


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TestNode]]:
    folder = tmp_path_factory.mktemp("horizontal")
    with nodes(folder, "hub", *CLIENTS) as made:
        for seed, party in enumerate(CLIENTS):
            file = folder / f"{party}.csv"
            file.write_bytes(table(seed))
            with made[party].client() as client:
                client.data.upload("rows", file, id="id", label="y")
                client.data.grant(
                    "rows",
                    partners=["*"],
                    automatic=True,
                    columns=["*"],
                    components=USED,
                    roles=["*"],
                )
        yield made


def job(component: str, by: str, **parameters: Any) -> Job:
    steps = {
        "rows": {"component": "reader", "parameters": {"tables": dict.fromkeys(CLIENTS, "rows")}},
        "scale": {"component": f"horizontal_{by}", "inputs": {"table": "rows.table"}},
        "train": {
            "component": component,
            "inputs": {"train": "scale.table"},
            "parameters": parameters,
        },
        "score": {
            "component": "local_prediction",
            "inputs": {"model": "train.model", "table": "scale.table"},
        },
    }
    parties = {"hub": "aggregator", **dict.fromkeys(CLIENTS, "client")}
    return parse_job({"name": "horizontal", "parties": parties, "steps": steps})


def scores(client: Client, of: str, step: str, target: Path) -> dict[str, tuple[str, str]]:
    client.jobs.get(of).download(step, "file.predictions.csv", target)
    found = csv.DictReader(io.StringIO(target.read_text()))
    return {line["id"]: (line["label"], line["score"]) for line in found}


@pytest.mark.parametrize(
    ("by", "apart", "component", "parameters"),
    [
        ("scale", "scale", "horizontal_boosting", BOOSTED),
        ("scale", "scale", "horizontal", {"rounds": 8, "learning_rate": 0.5}),
        ("binning", "transform", "horizontal", {"rounds": 8, "learning_rate": 0.5}),
    ],
)
def test_clients_score_rows_changed_as_in_the_training(
    four: dict[str, TestNode],
    tmp_path: Path,
    by: str,
    apart: str,
    component: str,
    parameters: dict[str, Any],
) -> None:
    with four["hub"].client() as hub:
        trained = hub.jobs.submit(job(component, by, **parameters)).wait(LIMIT).check()
    model = f"{trained.id}.train"
    for party in CLIENTS:
        with four[party].client() as client:
            until(partial(registered, client, model))
    with four["one"].client() as one:
        tables = dict.fromkeys(CLIENTS, "rows")
        made = one.models.predict_job(model, 1, tables)
        assert made.parties.keys() == set(CLIENTS)
        assert made.steps["scale"].component == apart
        assert made.steps["prediction"].component == "local_prediction"
        with pytest.raises(AtollError, match="ATL-REG-009"):
            one.models.predict_job(model, 1, {**tables, "hub": "rows"})
        found = one.jobs.submit(made).wait(LIMIT).check()
    for party in CLIENTS:
        with four[party].client() as client:
            until(partial(ended, client, found.id))
            old = scores(client, trained.id, "score", tmp_path / f"{party}-old")
            assert scores(client, found.id, "prediction", tmp_path / f"{party}-new") == old
        right = [(float(score) >= 0.5) == (label in {"1", "1.0"}) for label, score in old.values()]
        assert np.mean(right) > 0.85


def ended(client: Client, of: str) -> bool:
    return client.jobs.get(of).view.state == "success"
