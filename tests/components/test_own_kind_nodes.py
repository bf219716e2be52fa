"""A package's kind of model at two real nodes: trained, registered, predicted, never downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.jobs.definition import parse_job
from atoll.jobs.plan import Plan
from tests.components import packages
from tests.components.test_own_kind import KIND, SOURCE
from tests.e2e.nodes import EVERYTHING, TestNode, fill, nodes, until
from tests.e2e.test_predict_job import registered

LIMIT = 60.0
TABLES = {"bank": "people", "shop": "people"}


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, TestNode]]:
    """Two nodes into whose Python the package is installed, and which approved it."""
    target = packages.write(
        tmp_path / "site",
        name="tally",
        module="tally_package",
        distribution="tally-package",
        files={"tally_package/__init__.py": SOURCE.read_text()},
    )
    monkeypatch.setenv("PYTHONPATH", str(target))
    with nodes(tmp_path / "nodes", "bank", "shop") as made:
        fill(made, tmp_path)
        for node in made.values():
            with node.client() as client:
                (offer,) = [c for c in client.components.list().items if c.name == "tally"]
                client.components.approve("tally", str(offer.digest))
        yield made


def test_it_is_trained_registered_and_predicted(two: dict[str, TestNode], tmp_path: Path) -> None:
    steps = {
        "read": {"component": "reader", "parameters": {"tables": TABLES}},
        "match": {"component": "psi", "inputs": {"table": "read.table"}},
        "scale": {"component": "scale", "inputs": {"table": "match.table"}},
        "learn": {"component": "tally", "inputs": {"train": "scale.table"}},
        "score": {
            "component": "prediction",
            "inputs": {"model": "learn.model", "table": "scale.table"},
        },
    }
    job = parse_job({"name": "own", "parties": {"bank": "guest", "shop": "host"}, "steps": steps})
    with two["bank"].client() as bank, two["shop"].client() as shop:
        # What a package's scorer sends is counted by no cap: a grant for all components is none.
        silent = ["scale", "tally", "model", "fitted"]
        named = {**EVERYTHING, "components": ["psi", "prediction", *silent]}
        shop.data.grant("people", partners=["bank"], automatic=True, **named)
        trained = bank.jobs.submit(job).wait(LIMIT).check()
        model = f"{trained.id}.learn"
        for client in (bank, shop):
            until(partial(registered, client, model))
            assert client.models.get(model, 1).kind == KIND
        made = bank.models.predict_job(model, 1, TABLES)
        again = bank.jobs.submit(made).wait(LIMIT).check()
        found = []
        for done, step in ((trained, "score"), (again, "prediction")):
            done.download(step, "scores", tmp_path / step)
            found.append((tmp_path / step).read_text())
        assert found[0] == found[1]
        scores = np.genfromtxt(found[0].splitlines(), delimiter=",", names=True)["score"]
        assert len(set(scores)) > 10
        plan = Plan.model_validate(again.plan().plan)
        assert plan.implementations["prediction"].startswith("tally.sums@")
        (held,) = [a for a in again.artifacts().items if (a.step, a.name) == ("model", "model")]
        assert held.kind == KIND
        with pytest.raises(AtollError, match="ATL-API-014"):
            again.download("model", "model", tmp_path / "part")

        (offer,) = [c for c in shop.components.list().items if c.name == "tally"]
        shop.components.revoke("tally", str(offer.digest))
        late = bank.jobs.submit(made).wait(LIMIT).view
        assert (late.state, late.code) == ("refused", "ATL-MOD-005")
