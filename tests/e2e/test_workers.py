"""Real worker processes: a whole job, deaths, signals, refusals."""

from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path

import pytest

from atoll.core.errors import AtollError
from atoll.flow.ledger import Ledger
from atoll.flow.worker import KILL_AT
from tests.e2e import site
from tests.e2e.crew import Event
from tests.e2e.site import BANK, OTHER, SHOP

POINTS = 4


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Run the whole job once; return how many messages each party passes."""
    folder = tmp_path_factory.mktemp("whole")
    with site.stage(folder) as stage:
        stage.start(site.job())
        stage.crew.follow(stage.heard)
        stage.nothing_stays()
        counts = {}
        for party in (BANK, SHOP):
            (path,) = (folder / party / "runs").glob("*/run.json")
            lines = json.loads(path.read_text())["traffic"]
            counts[party] = sum(line["messages_sent"] + line["messages_received"] for line in lines)
            assert list(Ledger(folder / party).entries())[-1]["kind"] == "end"
        (metrics,) = (folder / BANK / "runs").glob("*/evaluation/metrics.json")
        assert 0.5 < json.loads(metrics.read_text())["test"]["auc"] <= 1
    return counts


@pytest.mark.parametrize("victim", [BANK, SHOP])
@pytest.mark.parametrize("point", range(POINTS))
def test_a_killed_worker_is_reported_lost(
    tmp_path: Path, messages: dict[str, int], victim: str, point: int
) -> None:
    survivor = OTHER[victim]
    # Not the first message, where nobody has met yet, and not after the last word.
    at = 1 + point * (messages[victim] - 4) // (POINTS - 1)
    with site.stage(tmp_path) as stage:
        stage.start(site.job(), {victim: {KILL_AT: str(at)}})
        with pytest.raises(AtollError) as caught:
            stage.crew.follow(stage.heard)
        assert stage.code(victim) == -signal.SIGKILL
        assert stage.code(survivor) == 6
        error = caught.value
        assert (error.code, error.party) == ("ATL-NET-001", victim)
        assert error.phase
        stage.nothing_stays()
        for party in (BANK, SHOP):
            assert not list((tmp_path / party).glob("runs/*"))
            list(Ledger(tmp_path / party).entries())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_both_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with site.stage(tmp_path) as stage:
        stage.start(site.job(trees=200))

        def heard(party: str, event: Event) -> None:
            if party == SHOP and event["event"] == "progress" and event["step"] == "boosting":
                with contextlib.suppress(ProcessLookupError):
                    stage.crew.workers[SHOP].process.send_signal(number)

        with pytest.raises(AtollError) as caught:
            stage.crew.follow(heard)
        assert caught.value.code == "ATL-JOB-001"
        assert stage.code(SHOP) == 128 + number
        assert stage.code(BANK) == 1
        assert stage.failure(BANK)["code"] == "ATL-NET-004"
        assert (stage.failure(BANK)["party"], stage.failure(BANK)["phase"]) == (SHOP, "boosting")
        stage.nothing_stays()


def test_a_worker_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    with site.stage(tmp_path) as stage:
        stage.start(site.job(trees=2000, depth=3))

        def heard(party: str, event: Event) -> None:
            if event["event"] == "phase" and event["phase"] == "boosting":
                for worker in stage.crew.workers.values():
                    if worker.process.stdin is not None:
                        worker.process.stdin.close()

        with pytest.raises(AtollError):
            stage.crew.follow(heard)
        for party in (BANK, SHOP):
            assert stage.code(party) in (1, 128 + signal.SIGTERM)
        stage.nothing_stays()


def test_a_changed_job_is_refused_by_both(tmp_path: Path) -> None:
    with site.stage(tmp_path) as stage:
        stage.start({SHOP: site.job(), BANK: site.job(trees=3)})
        with pytest.raises(AtollError) as caught:
            stage.crew.follow(stage.heard)
        assert caught.value.code == "ATL-PLN-001"
        assert caught.value.place == "job.steps"
        stage.nothing_stays()


def test_a_party_that_is_not_trusted_gets_nowhere(tmp_path: Path) -> None:
    with site.stage(tmp_path) as stage:
        (tmp_path / SHOP / "peers" / f"{BANK}.json").unlink()
        with pytest.raises(AtollError) as caught:
            stage.start(site.job())
        assert caught.value.code == "ATL-PTY-012"


def test_a_fault_hook_is_refused_outside_simulation(tmp_path: Path) -> None:
    with site.stage(tmp_path) as stage:
        refused = {KILL_AT: "3", "ATOLL_INSECURE_SIMULATION": "0"}
        stage.start(site.job(), {SHOP: refused, BANK: {"ATOLL_CONNECT_SECONDS": "2"}})
        with pytest.raises(AtollError) as caught:
            stage.crew.follow(stage.heard)
        assert caught.value.code in ("ATL-SET-001", "ATL-NET-001", "ATL-NET-003", "ATL-NET-010")
        assert stage.failure(SHOP)["code"] == "ATL-SET-001"
