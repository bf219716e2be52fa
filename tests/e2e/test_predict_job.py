"""From a trained model to scores of new rows: registry, predict job, scores at the guest alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from pyarrow import parquet

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


def followed(bank: Client, shop: Client, job: str) -> None:
    """The guest alone sees the loss of each tree; both have a log of their own."""
    seen = [p for p in bank.jobs.get(job).metrics("boost").items if p.name == "log_loss.train"]
    assert [point.number for point in seen] == [1, 2, 3]
    losses = [point.value for point in seen]
    assert losses == sorted(losses, reverse=True)
    assert not shop.jobs.get(job).metrics("boost").items
    for client in (bank, shop):
        reported = [line.message for line in client.jobs.get(job).log("boost").items]
        assert any(line.startswith("step boost, attempt 1") for line in reported)
        assert any(line.startswith("done in ") for line in reported)


@pytest.fixture(scope="module")
def model(two: dict[str, TestNode]) -> str:
    with two["bank"].client() as bank, two["shop"].client() as shop:
        trained = bank.jobs.submit(training_job("bank", "shop", trees=3))
        trained.wait(LIMIT)
        name = f"{trained.id}.boost"
        followed(bank, shop, trained.id)
        for client in (bank, shop):
            until(partial(registered, client, name))
            assert client.models.get(name, 1).kind == "boosting.model"
    return name


def test_new_rows_are_scored_with_a_registered_model(
    two: dict[str, TestNode], model: str, tmp_path: Path
) -> None:
    with two["bank"].client() as bank, two["shop"].client() as shop:
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
        running = two["bank"].running
        assert running is not None
        downloads(running.url, running.token, scored.id)


def downloads(url: str, token: str, job: str) -> None:
    """Every form of an artifact holds the same; the seed stays."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{url}/api/v1/jobs/{job}", headers=headers) as client:
        scores = "/artifacts/prediction/scores"
        text = client.get(scores)
        assert text.headers["content-disposition"] == 'attachment; filename="scores.csv"'
        lines = text.text.splitlines()
        whole = parquet.read_table(io.BytesIO(client.get(f"{scores}?format=parquet").content))
        arrow = pa.ipc.open_file(client.get(f"{scores}?format=arrow").content).read_all()
        assert whole.num_rows == arrow.num_rows == len(lines) - 1 == 60
        assert lines[0] == '"id","label","score"'
        rows = client.get("/artifacts/model/table").text.splitlines()
        assert rows[0] == '"id","x0","x1","x2","x3","y"'
        part = client.get("/artifacts/model/model")
        assert part.json()["kind"] == "boosting.guest"
        assert client.get("/artifacts/prediction/file.scores.csv").content
        seed = client.get("/artifacts/coin toss/seed")
        assert seed.status_code == 404
        assert client.get("/artifacts/prediction/nothing").status_code == 404


def test_rows_are_scored_before_anybody_knows_their_labels(
    two: dict[str, TestNode], model: str, tmp_path: Path
) -> None:
    with two["bank"].client() as bank, two["shop"].client() as shop:
        for number, client in enumerate((bank, shop)):
            file = tmp_path / f"{number}.csv"
            file.write_bytes(table(9 + number, 50, 4, label=False, first=10 * number))
            client.data.upload("unknown", file)
        shop.data.grant("unknown", partners=["bank"], automatic=True, **EVERYTHING)
        job = bank.models.predict_job(model, 1, {"bank": "unknown", "shop": "unknown"})
        scored = bank.jobs.submit(job)
        assert scored.wait(LIMIT).state == "success"
        target = tmp_path / "scores.csv"
        scored.download("prediction", "scores", target)
        lines = target.read_text().splitlines()
        assert lines[0] == '"id","score"'
        assert len(lines) == 51
        along_paths(bank, job, target)


def along_paths(bank: Client, job: Any, scores: Path) -> None:
    """Score the same rows by paths, with parts of the registry: the same scores."""
    steps = dict(job.steps)
    chosen = {"implementation": "path"}
    steps["prediction"] = steps["prediction"].model_copy(update={"parameters": chosen})
    again = bank.jobs.submit(job.model_copy(update={"steps": steps}))
    assert again.wait(LIMIT).state == "success"
    plan: Any = bank.jobs.get(again.id).plan().plan
    assert plan["implementations"]["prediction"] == "boosting.path_score"
    target = scores.with_name("paths.csv")
    again.download("prediction", "scores", target)
    assert target.read_bytes() == scores.read_bytes()


def turned(client: Client, name: str, file: Path, **names: str) -> None:
    """Register shop's training rows with the columns turned around and perhaps renamed."""
    lines = table(1, 400, 4, label=False, first=10).decode().splitlines()
    cells = [[line.split(",")[0], *reversed(line.split(",")[1:])] for line in lines]
    cells[0] = [names.get(cell, cell) for cell in cells[0]]
    file.write_text("\n".join(",".join(row) for row in cells))
    client.data.upload(name, file)
    client.data.grant(name, partners=["bank"], automatic=True, **EVERYTHING)


def test_columns_in_another_order_give_the_same_scores(
    two: dict[str, TestNode], model: str, tmp_path: Path
) -> None:
    with two["bank"].client() as bank, two["shop"].client() as shop:
        turned(shop, "turned", tmp_path / "turned.csv")
        found = []
        for name in ("people", "turned"):
            job = bank.models.predict_job(model, 1, {"bank": "people", "shop": name})
            scored = bank.jobs.submit(job).wait(LIMIT).check()
            scored.download("prediction", "scores", tmp_path / f"{name}.scores")
            found.append((tmp_path / f"{name}.scores").read_text())
        assert found[0] == found[1]
        assert found[0].count("\n") == 401


def test_a_renamed_column_is_named_at_its_party_and_a_code_to_the_others(
    two: dict[str, TestNode], model: str, tmp_path: Path
) -> None:
    with two["bank"].client() as bank, two["shop"].client() as shop:
        turned(shop, "renamed", tmp_path / "renamed.csv", x11="x11_2024")
        job = bank.models.predict_job(model, 1, {"bank": "people", "shop": "renamed"})
        id = bank.jobs.submit(job).wait(LIMIT).id
        until(lambda: shop.jobs.get(id).state == "refused")
        seen, there = bank.jobs.get(id).view, shop.jobs.get(id).view
        # Only who holds the part knows its columns: it refuses before it signs.
        assert (seen.state, seen.code, seen.party) == ("refused", "ATL-PLN-011", "shop")
        # Names of columns are told in the plan, but not what is wrong with them.
        reported = seen.model_dump(exclude={"job"})
        assert "x11" not in str(reported)
        assert (there.code, there.party) == ("ATL-PLN-011", "shop")
        assert there.message == "columns of the model are missing: 'x11' (ATL-MOD-003)"
        assert "'x11_2024'" in str(there.hint)


def test_an_archived_model_scores_nothing(two: dict[str, TestNode], model: str) -> None:
    tables = {"bank": "people", "shop": "people"}
    with two["bank"].client() as bank:
        bank.models.stage(model, 1, "archived")
        with pytest.raises(AtollError, match="archived"):
            bank.models.predict_job(model, 1, tables)
        bank.models.stage(model, 1, "candidate")
