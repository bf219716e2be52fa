"""Rows are scaled in the predict job as they were in the training: the very same scores."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from atoll.core.errors import AtollError
from atoll.jobs.definition import Job, parse_job
from atoll.sdk import Client
from tests.e2e.nodes import fill, nodes, training_job, until
from tests.e2e.test_predict_job import registered

LIMIT = 60.0


def scaled_job() -> Job:
    plain: Any = training_job("bank", "shop", trees=3).canonical()
    plain["steps"]["scale"] = {
        "component": "scale",
        "inputs": {"table": "match.table"},
        "parameters": {"method": "min-max", "bounds": "quantile", "lower": 0.1, "upper": 0.9},
        "overrides": {"shop": {"method": "standard", "columns": ["x10", "x12"]}},
    }
    plain["steps"]["boost"]["inputs"] = {"train": "scale.table"}
    plain["steps"]["score"]["inputs"]["table"] = "scale.table"
    return parse_job(plain)


def scores(client: Client, job: str, step: str, target: Path) -> dict[str, object]:
    """Return the scores of a step by id, with all their bits."""
    client.jobs.get(job).download(step, "scores", target, form="parquet")
    found = parquet.read_table(io.BytesIO(target.read_bytes()))
    return dict(zip(found.column("id").to_pylist(), found.column("score").to_pylist(), strict=True))


def test_a_predict_job_applies_what_was_fitted(tmp_path: Path) -> None:
    with nodes(tmp_path / "nodes", "bank", "shop") as two:
        fill(two, tmp_path)
        with two["bank"].client() as bank, two["shop"].client() as shop:
            trained = bank.jobs.submit(scaled_job()).wait(LIMIT).check()
            model = f"{trained.id}.boost"
            for client in (bank, shop):
                until(partial(registered, client, model))
                lineage: Any = client.models.get(model, 1).lineage
                fitted = lineage["fitted"]["scale"]
                made = {a.name: a for a in client.jobs.get(trained.id).artifacts().items}
                assert fitted["digest"] == made["transform"].digest
                assert (fitted["kind"], made["transform"].kind) == ("scale.transform",) * 2
                assert fitted["parties"] == ["bank", "shop"]

            tables = {"bank": "people", "shop": "people"}
            job = bank.models.predict_job(model, 1, tables)
            assert job.steps["scale"].inputs["transform"] == "scale-fitted.fitted"
            found = bank.jobs.submit(job).wait(LIMIT).check()
            here = scores(bank, found.id, "prediction", tmp_path / "new")
            assert here == scores(bank, trained.id, "score", tmp_path / "old")
            assert len(set(here.values())) > 10
            # What is applied is what was fitted, digest and all, and the rows are really changed.
            again = {
                a.name: a for a in shop.jobs.get(found.id).artifacts().items if a.step == "scale"
            }
            assert again["transform"].digest == fitted["digest"]
            shop.jobs.get(found.id).download("scale", "table", tmp_path / "rows", form="parquet")
            rows = parquet.read_table(tmp_path / "rows")
            assert abs(pc.mean(rows.column("x10")).as_py()) < 1e-9

            with pytest.raises(AtollError, match=r"ATL-MOD-005|ATL-PLN-011"):
                bank.jobs.submit(changed(job, "model", kind="other.model"))
            refused = bank.jobs.submit(changed(job, "scale-fitted", step="match")).wait(LIMIT).view
            assert (refused.state, refused.code) == ("refused", "ATL-PLN-011")
            assert "ATL-REG-010" in str(refused.message)


def changed(job: Job, name: str, **parameters: str) -> Job:
    plain: Any = job.canonical()
    plain["steps"][name]["parameters"] |= parameters
    return parse_job(plain)
