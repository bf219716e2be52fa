"""What partners see of a failure that a label decides: the same, whichever failure it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.errors import NotFoundError
from atoll.jobs.states import ENDED
from atoll.sdk import local
from atoll.sim.nodes import LocalNode
from atoll.table import Table
from tests import whole
from tests.dishonest.test_whole_nodes import waiting
from tests.e2e.nodes import until
from tests.held import HeldTables

GUEST, HOST = "bank", "shop"
# The host has the first rows alone; both classes are in the guest's table in any case.
ROWS, COMMON = 180, 120
REST = range(COMMON, ROWS)
POSITIVES = {
    "none": REST,
    "all": range(COMMON),
    "half": range(0, ROWS, 2),
}
SHARES = [{"label": 0.0, "fraction": 0.0}, {"label": 1.0, "fraction": 0.4}]
STEPS: Mapping[str, Mapping[str, Any]] = {
    "boosting": {"component": "boosting", "inputs": {"train": "psi.table"}},
    "sample": {
        "component": "sample",
        "inputs": {"table": "psi.table"},
        "parameters": {"method": "stratified", "shares": SHARES},
    },
}


def job(*steps: str) -> Job:
    """Return a job that intersects, and then does what a label decides about."""
    tables = {"tables": {GUEST: "rows", HOST: "rows"}}
    made: dict[str, Any] = {
        "reader": {"component": "reader", "parameters": tables},
        "psi": {
            "component": "psi",
            "inputs": {"table": "reader.table"},
            "parameters": {"protocol": "ideal"},
        },
    }
    made |= {step: dict(STEPS[step]) for step in steps}
    parties = {GUEST: "guest", HOST: "host"}
    return parse_job({"name": "ask", "parties": parties, "steps": made})


def columns(positives: Any) -> dict[str, dict[str, Any]]:
    label = np.zeros(ROWS)
    label[list(positives)] = 1.0
    ids = [f"r{at}" for at in range(ROWS)]
    x = np.arange(ROWS, dtype=float)
    shared = {"id": ids[:COMMON], "h": x[:COMMON].tolist()}
    return {GUEST: {"id": ids, "g": x.tolist(), "y": label.tolist()}, HOST: shared}


def held(positives: Any) -> dict[str, HeldTables]:
    found = {}
    for party, named in columns(positives).items():
        label = "y" if party == GUEST else None
        arrays = {name: pa.array(values) for name, values in named.items() if name != "id"}
        table = Table.from_columns(pa.array(named["id"]), arrays, label=label)
        found[party] = HeldTables({"rows": table})
    return found


@pytest.mark.parametrize(
    ("step", "true"),
    [
        ("boosting", {"none": "ATL-BST-010", "all": "ATL-BST-010"}),
        ("sample", {"none": "ATL-CMP-040", "half": ""}),
    ],
)
def test_a_host_cannot_tell_by_the_code_why_the_guest_failed(
    step: str, true: Mapping[str, str]
) -> None:
    """A host reads from ATL-BST-010 and ATL-CMP-040 which labels its rows have. Now: ATL-WRK-014.

    The guest's own error keeps its code.
    """
    seen = set()
    for case, code in true.items():
        ran = whole.play(job(step), held(POSITIVES[case]), CATALOGUE)
        assert getattr(ran.errors.get(GUEST), "code", "") == code
        if code:
            error = ran.errors[HOST]
            seen.add((str(error), getattr(error, "phase", None)))
    assert len(seen) == 1
    assert "ATL-WRK-014" in str(seen)


def ended(job_id: str, node: LocalNode) -> bool:
    try:
        return bool(node.services.jobs.get(job_id)["state"] in ENDED)
    except NotFoundError:
        return False


@pytest.mark.parametrize("case", ["none", "all"])
def test_a_partner_s_node_is_sent_one_code(case: str) -> None:
    """The facts that nodes exchange, and the end of the job, hold no code that a label decides."""
    tables = {p: {"rows": pa.table(named)} for p, named in columns(POSITIVES[case]).items()}
    roles = {GUEST: "guest", HOST: "host"}
    with local(roles, tables, catalogue=CATALOGUE) as federation:
        made = job("boosting")
        federation._driver(made)
        nodes = federation._opened()
        host, guest = nodes[HOST], nodes[GUEST]
        options = {"reuse": False, "retries": 0}
        name = str(host.services.jobs.submit(made, options, host.owner(), None, (), "")["id"])
        until(lambda: waiting(guest, name))
        digest = str(guest.services.jobs.plan_of(name)["digest"])
        guest.services.jobs.approve(name, digest, guest.owner())
        until(lambda: all(ended(name, node) for node in nodes.values()))
        seen, own = (dict(node.services.jobs.get(name)) for node in (host, guest))
    assert (seen["code"], seen["party"]) == ("ATL-WRK-014", GUEST)
    assert "ATL-BST-010" not in str(seen)
    assert (own["code"], own["party"]) == ("ATL-BST-010", GUEST)
    assert own["message"]
    assert own["steps"]["boosting"]["own"]["code"] == "ATL-BST-010"
