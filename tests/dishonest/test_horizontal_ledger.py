"""What each party of a sum over clients obtained, against what a client's ledger charges it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.jobs.definition import Job, parse_job
from atoll.learning.horizontal.parties.aggregator import PartyClients
from atoll.learning.horizontal.parties.step_aggregator import StepClients
from atoll.table import Table
from tests import whole
from tests.dishonest import ledger
from tests.held import HeldTables

CLIENTS = ("east", "victim", "west")
ROLES = {"agg": "aggregator", **dict.fromkeys(CLIENTS, "client")}
READERS = {"agg", "east", "west"}
ROWS, COLUMNS = 40, 3
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "network": ("horizontal", {"algorithm": "fedsgd", "rounds": 2, "hidden": [5]}),
    "small": ("horizontal", {"algorithm": "fedavg", "rounds": 1, "evaluate_every": 0}),
    "trees": ("horizontal_boosting", {"trees": 2, "depth": 2, "bins": 8, "cells": 16}),
    "scaled": ("horizontal_scale", {"cells": 16, "range_rounds": 2}),
    "binned": ("horizontal_binning", {"cells": 16, "rounds": 2, "bins": 4}),
    "grouped": ("horizontal_kmeans", {"clusters": 2, "cells": 2}),
    "figures": ("horizontal_statistics", {"cells": 16, "range_rounds": 2}),
}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count the values of the sums that aggregators open, by the step's name."""
    found: dict[str, int] = defaultdict(int)

    def watched(ask: Any) -> Any:
        def asked(self: Any, *args: Any, **named: Any) -> Any:
            answers = ask(self, *args, **named)
            if answers.total is not None:
                vectors = answers.total.vectors.values()
                found["values"] += sum(len(v) for v in vectors) + len(answers.total.numbers)
            return answers

        return asked

    monkeypatch.setattr(PartyClients, "ask_for", watched(PartyClients.ask_for))
    monkeypatch.setattr(StepClients, "ask", watched(StepClients.ask))
    return found


def tables() -> dict[str, HeldTables]:
    rng, found = np.random.default_rng(3), {}
    for client in CLIENTS:
        values = rng.normal(size=(ROWS, COLUMNS))
        columns = {f"x{at}": pa.array(values[:, at]) for at in range(COLUMNS)}
        label = pa.array((values[:, 0] > 0).astype(float))
        ids = pa.array([f"{client}-{row}" for row in range(ROWS)])
        made = Table.from_columns(ids, {**columns, "y": label}, label="y")
        found[client] = HeldTables({"t": made})
    return found


def job(name: str, parameters: dict[str, Any]) -> Job:
    component, own = STEPS[name]
    port = "train" if component in {"horizontal", "horizontal_boosting"} else "table"
    reader = {"component": "reader", "parameters": {"tables": dict.fromkeys(CLIENTS, "t")}}
    step = {
        "component": component,
        "inputs": {port: "rows.table"},
        "parameters": {**own, **parameters},
    }
    return parse_job({"name": "sums", "parties": ROLES, "steps": {"rows": reader, "it": step}})


@pytest.mark.parametrize("sum_", ["masked", "plain"])
@pytest.mark.parametrize("name", STEPS)
def test_who_reads_sums_off_what_all_are_sent(name: str, sum_: str, opened: dict[str, int]) -> None:
    """Gain: bytes of shares were charged to the aggregator, and to the other clients nothing.

    An aggregator had 204,052 values for 2,376 charged, and every client reads the same sums off the
    common weights. Now each of them is charged what the plan declares, at least what was opened.
    """
    ran = whole.play(job(name, {"sum": sum_}), tables(), CATALOGUE).check()
    assert ran.plan is not None
    assert opened["values"] > 0
    for reader in READERS:
        charged = ledger.charge(ran.plan, "victim", reader, ran.sent["victim"]).opened_sums
        assert opened["values"] <= charged, reader
        ledger.refused_below(ran.plan, "victim", reader, "opened_sums", opened["values"])
