"""Two parties with worker processes of their own that talk through two gateways, over TLS."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from atoll.channel.grpc.gateway import new_token
from atoll.components.catalogue import CATALOGUE
from atoll.flow.planning import COIN_STEP
from atoll.flow.work.handle import Worker
from atoll.flow.work.own_process import KILL_AT
from atoll.flow.work.pool import Pool, PoolSettings
from atoll.flow.work.specification import Gateway, TaskLimits
from atoll.jobs.definition import Job
from atoll.jobs.validation import order
from atoll.table import Table
from tests.channel.grpc import nodes as wire
from tests.components import test_main_job as main_job
from tests.flow.work import little
from tests.flow.work.test_pool import Ear, gone, until

LIMITS = TaskLimits(
    receive_seconds=60, silence_seconds=5, connect_seconds=30, heartbeat_seconds=0.5
)


def held() -> dict[str, dict[str, Table]]:
    label = {"bank": "y", "shop": None}
    return {
        party: {"rows": tables.open("rows", id_column="id", label=label[party])}
        for party, tables in main_job.tables().items()
    }


class Site:
    """Both parties' gateways, folders and pools."""

    def __init__(
        self, folder: Path, made: Mapping[str, wire.Node], pools: Mapping[str, Pool]
    ) -> None:
        self.places = little.nodes(folder, held())
        self.made = made
        self.pools = pools
        self.attempt = 0

    def begin(self, job: Job, step: str) -> dict[str, tuple[Worker, Ear]]:
        """Start a step at both parties."""
        self.attempt += 1
        label = f"{little.JOB_ID}/{step}/{self.attempt}"
        found = {}
        for party, place in self.places.items():
            node = self.made[party]
            spec = place.spec(job, step, CATALOGUE, attempt=self.attempt, limits=LIMITS)
            if not spec.mine:
                continue
            if spec.peers:
                token = new_token()
                socket = node.folder / f"{party}{self.attempt}.work"
                node.gateway.register(label, token, socket, sorted(spec.peers))
                gateway = Gateway(
                    socket=node.socket,
                    own_socket=socket,
                    token=token.hex(),
                    label=label,
                    dialable=dict.fromkeys(spec.peers, True),
                )
                spec = spec.model_copy(update={"gateway": gateway})
            worker, ear = self.pools[party].lease(little.JOB_ID), Ear()
            worker.submit(spec, ear)
            found[party] = (worker, ear)
        return found

    def play(self, job: Job, step: str) -> None:
        """Run a step to its end."""
        for party, (_, ear) in self.begin(job, step).items():
            event = ear.end()
            assert event.kind == "done", event
            self.places[party].results[step] = dict(event.data)


@contextmanager
def sites(folder: Path, **shop: str) -> Iterator[Site]:
    """Give both parties a pool; ``shop`` is what shop's workers find in their environment."""
    settings = PoolSettings(folder, warm=1, most=2)
    with (
        wire.nodes("bank", "shop") as made,
        Pool(settings) as ours,
        Pool(replace(settings, environment=shop)) as theirs,
    ):
        yield Site(folder, {node.party: node for node in made}, {"bank": ours, "shop": theirs})


def test_a_whole_job_runs_in_workers_through_gateways(tmp_path: Path) -> None:
    job = main_job.job(trees=2, implementation="elgamal")
    with sites(tmp_path) as site:
        for step in (COIN_STEP, *order(job)):
            site.play(job, step)
        for pool in site.pools.values():
            assert len([f for f in pool.facts() if f.job == little.JOB_ID]) == 1
        bank, shop = site.places["bank"], site.places["shop"]
        metrics = json.loads(bank.bytes_of("evaluation", "metrics.json"))
        assert metrics["test"]["auc"] > 0.6
        assert bank.value("boosting", "model").model == shop.value("boosting", "model").model
        assert bank.results[COIN_STEP]["outputs"] == shop.results[COIN_STEP]["outputs"]
        assert not shop.results["prediction"]["outputs"]
        assert bank.results["psi"]["reveals"]
        assert all(row["bytes_sent"] >= 0 for row in bank.results["boosting"]["traffic"])


@pytest.mark.parametrize("how", ["cancel", "kill", "terminate"])
def test_the_end_of_one_worker_ends_the_other_with_a_code(tmp_path: Path, how: str) -> None:
    job = main_job.job(trees=500, implementation="elgamal")
    with sites(tmp_path) as site:
        for step in (COIN_STEP, "reader", "psi", "split"):
            site.play(job, step)
        began = site.begin(job, "boosting")
        (worker, ear), (_, other) = began["shop"], began["bank"]
        for received in (ear, other):
            received.wait("progress")
        pid = worker.pid
        assert pid is not None
        if how == "cancel":
            worker.cancel()
            assert ear.end().state == "cancelled"
        elif how == "kill":
            os.kill(pid, signal.SIGKILL)
            assert ear.end().state == "lost"
        else:
            os.kill(pid, signal.SIGTERM)
            assert ear.end().state == "cancelled"
        event = other.end()
        assert event.kind == "failed"
        expected = "ATL-NET-001" if how == "kill" else "ATL-NET-004"
        assert event.data["error"]["code"] == expected
        assert event.data["error"]["party"] == "shop"
        assert event.data["reveals"]
        until(lambda: gone(pid))
        assert not [p for p in site.places["bank"].outputs.iterdir() if p.name.startswith(".")]


def test_a_drill_kills_a_worker_at_a_chosen_message(tmp_path: Path) -> None:
    job = main_job.job()
    with sites(tmp_path, **{KILL_AT: "3"}) as site:
        began = site.begin(job, COIN_STEP)
        assert began["shop"][1].end().state == "lost"
        event = began["bank"][1].end()
        assert (event.kind, event.data["error"]["code"]) == ("failed", "ATL-NET-001")


def test_outputs_are_private(tmp_path: Path) -> None:
    with sites(tmp_path) as site:
        site.play(main_job.job(), COIN_STEP)
        for place in site.places.values():
            (seed,) = place.outputs.iterdir()
            assert seed.stat().st_mode & 0o777 == 0o600
