"""From a trained model to scores of new rows: registry, predict job, scores at the guest alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.sdk import Client
from tests.e2e.nodes import EVERYTHING, TestNode, fill, nodes, table, training_job, until

LIMIT = 60.0


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TestNode]]:
    root = tmp_path_factory.mktemp("predict")
    with nodes(root, "bank", "shop") as made:
        fill(made, root)
        yield made


def registered(client: Client, model: str) -> bool:
    return any(found.id == model for found in client.models.list().items)


def test_new_rows_are_scored_with_a_registered_model(
    two: dict[str, TestNode], tmp_path: Path
) -> None:
    with two["bank"].client() as bank, two["shop"].client() as shop:
        trained = bank.jobs.submit(training_job("bank", "shop", trees=3))
        trained.wait(LIMIT)
        model = f"{trained.id}.boost"
        for client in (bank, shop):
            until(partial(registered, client, model))
            assert client.models.get(model, 1).kind == "boosting.model"
        # New rows, with one column more and in another order: columns go by name.
        for number, client in enumerate((bank, shop)):
            guest = client is bank
            file = tmp_path / f"{number}.csv"
            lines = table(7 + number, 60, 6, label=guest, first=10 * number).decode().splitlines()
            cells = [line.split(",") for line in lines]
            file.write_text("\n".join(",".join([row[0], *reversed(row[1:])]) for row in cells))
            client.data.upload("fresh", file, label="y" if guest else None)
        shop.data.grant("fresh", partners=["bank"], automatic=True, **EVERYTHING)
        job = bank.models.predict_job(model, 1, {"bank": "fresh", "shop": "fresh"})
        scored = bank.jobs.submit(job)
        scored.wait(LIMIT)
        assert bank.jobs.get(scored.id).state == "success"
        kinds = {a.kind for a in bank.jobs.get(scored.id).artifacts().items}
        assert "scores" in kinds
        assert "scores" not in {a.kind for a in shop.jobs.get(scored.id).artifacts().items}


def test_an_archived_model_scores_nothing(two: dict[str, TestNode]) -> None:
    with two["bank"].client() as bank:
        model = bank.models.list().items[0]
        bank.models.stage(model.id, model.version, "archived")
        with pytest.raises(AtollError, match="archived"):
            bank.models.predict_job(model.id, model.version, {"bank": "people", "shop": "people"})
