"""A whole federation in one process: the real job, and what each party has of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars
import pyarrow as pa
import pytest

import atoll.sdk
from atoll.components.api import Result, Task
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError, InternalError, UserError
from atoll.sdk import Federation, Pipeline, local
from atoll.sdk.frames import as_table
from atoll.table import Table
from tests.flow.toy import SWAP, Amount, Listener

PARTIES = {"bank": "guest", "shop": "host"}


def data(rows: int = 200) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(rows, 4))
    y = (x[:, 0] + 1.5 * x[:, 2] + rng.normal(size=rows) > 0).astype(float)
    ids = [f"r{at}" for at in range(rows)]
    mine = {"id": ids[: rows - 20], "g0": x[: rows - 20, 0], "y": y[: rows - 20]}
    theirs = {"id": ids[20:], "h0": x[20:, 2], "h1": x[20:, 3]}
    return mine, theirs


def pipeline(**boosting: Any) -> Pipeline:
    p = Pipeline("local", guest="bank", host="shop")
    rows = p.reader(tables={"bank": "people", "shop": "people"})
    parts = p.split(p.psi(rows, protocol="ideal"), seed=1)
    model = p.boosting(train=parts.train, trees=2, implementation="ideal", **boosting)
    p.evaluation(p.prediction(model.model, parts.test).scores)
    return p


def opened() -> Federation:
    mine, theirs = data()
    return local(PARTIES, {"bank": {"people": pd.DataFrame(mine)}}).table(
        "shop", "people", polars.DataFrame(theirs)
    )


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with opened() as made:
        yield made


def test_each_job_reads_its_tables_as_they_are_by_then(tmp_path: Path) -> None:
    mine, theirs = (pd.DataFrame(half) for half in data())
    file = tmp_path / "people.csv"
    mine.to_csv(file, index=False)
    p = Pipeline("look", guest="bank", host="shop")
    p.statistics(p.reader(tables={"bank": "people", "shop": "people"}))
    parties = ("bank", "shop")

    def means(federation: Federation) -> list[float]:
        done = federation.run(p)
        found = [done[party].outputs["statistics.statistics"]["columns"][0] for party in parties]
        return [column["mean"] for column in found]

    with local(PARTIES, {"bank": {"people": file}, "shop": {"people": theirs}}) as federation:
        before = means(federation)
        first = federation.plan(p)
        mine.assign(g0=mine["g0"] + 10).to_csv(file, index=False)
        theirs["h0"] += 10
        assert means(federation) == pytest.approx([value + 10 for value in before])
        again = federation.plan(p)
    for party in parties:
        assert again.tables[party]["reader"].digest != first.tables[party]["reader"].digest


def test_a_pipeline_runs_and_each_party_has_its_own(federation: Federation) -> None:
    done = federation.run(pipeline())
    bank, shop = done["bank"], done["shop"]
    assert bank.metrics["evaluation.test.auc"] > 0.6
    assert shop.metrics == {}
    assert bank.tables["psi.table"].num_rows == 160
    assert set(bank.reports) >= {"psi", "boosting", "evaluation"}
    assert "<h2>" in bank.reports["boosting"]._repr_html_()
    assert bank.scores["prediction.scores"].score.shape == (32,)
    assert "boosting/model.json" in shop.files
    assert any(line["step"] == "boosting" for line in shop.reveals)
    assert bank.plan.digest() == shop.plan.digest()
    assert "auc" in done._repr_html_()


def test_a_plan_can_be_read_before(federation: Federation) -> None:
    plan = federation.plan(pipeline())
    assert plan.owners["prediction.scores"] == ("bank",)
    assert federation.run(pipeline())["bank"].plan.digest() != ""


def test_the_permission_holds_inside_alone(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATOLL_INSECURE_SIMULATION")
    from atoll.core.settings import require_insecure

    federation.run(pipeline())
    with pytest.raises(InternalError):
        require_insecure("a test")
    with pytest.raises(AtollError):
        federation.run(pipeline(minimum_rows=0, bins=2, learning_rate=2))
    assert "ATOLL_INSECURE_SIMULATION" not in os.environ


def test_an_error_at_a_party_is_raised_with_its_place() -> None:
    mine, theirs = data()
    del mine["y"]
    frames = {"bank": {"people": pd.DataFrame(mine)}, "shop": {"people": pd.DataFrame(theirs)}}
    with local(PARTIES, frames) as federation, pytest.raises(AtollError) as caught:
        federation.run(pipeline())
    assert (caught.value.code, caught.value.party) == ("ATL-TAB-002", "bank")


def test_what_does_not_fit_is_refused() -> None:
    with opened() as federation:
        other = Pipeline("other", guest="shop", host="bank")
        other.reader(tables={"bank": "people", "shop": "people"})
        with pytest.raises(AtollError, match="ATL-SDK-030"):
            federation.run(other)
        with pytest.raises(AtollError, match="ATL-SDK-030"):
            federation.table("mill", "people", None)
    with pytest.raises(AtollError, match="closed"):
        federation.run(pipeline())
    with pytest.raises(AtollError, match="ATL-SDK-030"):
        local({"bank": "gest"})


def test_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with opened() as federation:
        federation.run(pipeline())
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_every_kind_of_frame_is_the_same_table(tmp_path: Path) -> None:
    mine, _ = data(40)
    frame = pd.DataFrame(mine)
    whole = pa.table(mine)
    frame.to_csv(tmp_path / "people.csv", index=False)
    kinds = [
        frame,
        polars.DataFrame(mine),
        whole,
        whole.to_batches()[0],
        Table.from_arrow(whole, label="y"),
        Table.from_arrow(whole),
        str(tmp_path / "people.csv"),
    ]
    digests = {as_table(kind, label="y").digest() for kind in kinds}
    assert len(digests) == 1
    with pytest.raises(AtollError, match="ATL-SDK-031"):
        as_table([1, 2])


def test_the_package_is_light() -> None:
    assert atoll.sdk.local is local
    assert "Client" in dir(atoll.sdk)
    with pytest.raises(AttributeError):
        _ = atoll.sdk.nothing


def _fails(task: Task, parameters: Any) -> Result:
    """The guest fails while the host waits for it."""
    party = task.party
    peer = next(name for name in party.roles if name != party.name)
    if party.name != party.guest:
        party.channel.receive(peer, "amount", Amount)
    raise UserError("ATL-CMP-020", "what went wrong first")


def swapping(run: Any) -> dict[str, Any]:
    """Return a catalogue with a component of this process, and its job."""
    steps = {
        "reader": {"component": "reader", "parameters": {"tables": dict.fromkeys(PARTIES, "rows")}},
        "swap": {"component": "swap", "inputs": {"table": "reader.table"}},
    }
    mine, theirs = (pa.table(entry) for entry in data(40))
    return {
        "catalogue": {"reader": CATALOGUE["reader"], "swap": replace(SWAP, run=run)},
        "tables": {"bank": {"rows": mine}, "shop": {"rows": theirs}},
        "job": {"name": "own", "parties": PARTIES, "steps": steps},
    }


def test_the_first_cause_is_raised_and_not_its_echo() -> None:
    own = swapping(_fails)
    with (
        local(PARTIES, own["tables"], catalogue=own["catalogue"]) as federation,
        pytest.raises(AtollError, match="went wrong first") as caught,
    ):
        federation.run(own["job"])
    assert (caught.value.code, caught.value.party) == ("ATL-CMP-020", "bank")
    assert caught.value.phase == "swap"


def test_components_of_this_process_run_and_tell_how_far_they_are() -> None:
    own = swapping(SWAP.run)
    received = {party: Listener() for party in PARTIES}
    with local(
        PARTIES, own["tables"], catalogue=own["catalogue"], events=received.__getitem__
    ) as federation:
        done = federation.run(own["job"])
        # Their node is one that any client can ask.
        with federation.client("shop") as client:
            assert [job.state for job in client.jobs.list().items] == ["success"]
            assert {line.kind for line in client.ledger.all()} >= {"approval", "reveal"}
    assert done["bank"].outputs["swap.total"] == done["shop"].outputs["swap.total"] == 40
    for listener in received.values():
        names = [name for name, _ in listener.events]
        assert names[-1] == "finished"
        assert {"phase", "progress", "step"} <= set(names)


def _waits(task: Task, parameters: Any) -> Result:
    """The guest has the caller interrupted; both wait to be told."""
    party = task.party
    if party.name == party.guest:
        os.kill(os.getpid(), signal.SIGINT)
    while True:
        party.cancel.check()
        Event().wait(0.01)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_is_cancelled_at_every_party() -> None:
    own = swapping(_waits)
    with local(PARTIES, own["tables"], catalogue=own["catalogue"]) as federation:
        with pytest.raises(KeyboardInterrupt):
            federation.run(own["job"])
        for party in PARTIES:
            with federation.client(party) as client:
                assert [job.state for job in client.jobs.list().items] == ["cancelled"]


def test_what_is_not_closed_is_closed_at_the_end_of_the_process(tmp_path: Path) -> None:
    script = """
import numpy as np
from atoll.sdk import VerticalBoostingClassifier
from tests.sdk.test_federation import opened, pipeline

federation = opened()
federation.run(pipeline())
x = np.random.default_rng(1).normal(size=(80, 4))
VerticalBoostingClassifier(trees=1, implementation="ideal").fit(x, x[:, 0] > 0)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=200
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
