"""The example package at two real nodes: refused, approved at both, run, and revoked again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.jobs.definition import Job, parse_job
from atoll.jobs.plan import Plan
from tests.components import packages
from tests.e2e.nodes import TestNode, fill, nodes, small_job

LIMIT = 60.0
NAME = "alignment"


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, TestNode]]:
    """Two nodes into whose Python the example is installed."""
    wheel = packages.build(packages.EXAMPLE, tmp_path / "wheel")
    target = packages.install(wheel, tmp_path / "target")
    monkeypatch.setenv("PYTHONPATH", str(target))
    with nodes(tmp_path / "nodes", "bank", "shop") as made:
        fill(made, tmp_path)
        yield made


def job(name: str) -> Job:
    plain = small_job("bank", "shop", name=name).canonical()
    plain["steps"]["check"] = {"component": NAME, "inputs": {"table": "match.table"}}
    half = {"method": "stratified", "fraction": 0.5}
    first = {"duplicates": "keep-first"}
    tables = ["match.table", "check.table"]
    plain["steps"] |= {
        "both": {"component": "union", "inputs": {"tables": tables}, "parameters": first},
        "again": {"component": "psi", "inputs": {"table": "both.table"}},
        "half": {"component": "sample", "inputs": {"table": "again.table"}, "parameters": half},
        "sum": {
            "component": "statistics",
            "inputs": {"table": "half.table"},
            "overrides": {"bank": {"label": True}},
        },
        "file": {
            "component": "download",
            "inputs": {"table": "half.table"},
            "overrides": {"shop": {"format": "parquet"}},
        },
    }
    return parse_job(plain)


def test_a_package_runs_where_both_parties_approved_it(two: dict[str, TestNode]) -> None:
    with two["bank"].client() as bank, two["shop"].client() as shop:
        (offer,) = [c for c in bank.components.list().items if c.name == NAME]
        assert not offer.approved
        digest = offer.digest
        assert digest is not None

        with pytest.raises(AtollError) as caught:
            bank.jobs.submit(job("early"))
        assert caught.value.code == "ATL-CMP-010"
        assert caught.value.place == "steps.check.component"
        with pytest.raises(AtollError) as wrong:
            bank.components.approve(NAME, "0" * 64)
        assert wrong.value.code == "ATL-CMP-012"

        bank.components.approve(NAME, digest)
        lonely = bank.jobs.submit(job("lonely")).wait(LIMIT)
        assert lonely.view.code == "ATL-CMP-010"
        assert lonely.view.state in ("failed", "refused")

        shop.components.approve(NAME, digest)
        done = bank.jobs.submit(job("together")).wait(LIMIT)
        assert done.view.state == "success"
        theirs = shop.jobs.get(done.id)
        assert theirs.report("check").title == "Alignment"
        assert {"file.table.csv", "file.table.parquet"} <= {
            artifact.name for of in (done, theirs) for artifact in of.artifacts().items
        }
        assert "Statistics" in {report.title for report in done.reports().values()}
        plan = Plan.model_validate(done.plan().plan)
        reported = {entry["message"] for entry in plan.reveals["check"]}
        assert reported == {"alignment.rows", "alignment.verdict"}

        shop.components.revoke(NAME, digest)
        late = bank.jobs.submit(job("late")).wait(LIMIT)
        assert late.view.code == "ATL-CMP-010"
