"""``atoll demo`` as a person or a program runs it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from atoll.cli.demo import data
from atoll.cli.demo.work import TABLE, pipeline
from atoll.flow.node.folder import NodeFolder
from atoll.flow.node.process import down, find
from atoll.flow.policy.ledger import DatabaseLedger
from atoll.flow.store import Database
from atoll.sdk import Client, local
from atoll.sdk.federation import PartyOutcome

ATOLL = [sys.executable, "-m", "atoll.cli.main"]
MODELS = {"guest", "federated", "centralised"}


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(
        [*ATOLL, "demo", *options],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        timeout=280,
    )


def again_in_one_process() -> PartyOutcome:
    """Run the demo's job once more with its default options, at other nodes."""
    shares = data.make("breast", 0, (0, 0), 7)
    boosting = {"trees": 20, "depth": 3, "bins": 32, "minimum_rows": 20}
    tables = {data.GUEST: {TABLE: shares.guest}, data.HOST: {TABLE: shares.host}}
    with local({data.GUEST: "guest", data.HOST: "host"}, tables) as federation:
        return federation.run(pipeline(boosting, 7))[data.GUEST]


def test_the_demo_prints_one_json_object_and_keeps_its_promises(tmp_path: Path) -> None:
    done = demo(tmp_path, "--json", "--folder", "kept")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert set(result) == {
        *("rows", "columns", "auc", "ks", "auc_train", "seconds", "bytes", "reveals"),
        *("warnings", "report"),
    }
    assert result["columns"] == {"guest": 10, "host": 20}
    assert 440 < result["rows"]["common"] < result["rows"]["guest"] == 512
    for name in ("auc", "ks", "auc_train"):
        assert set(result[name]) == MODELS
    assert result["auc"]["federated"] > 0.95
    assert set(result["seconds"]) == {"psi", "train", "evaluate", "total"}
    for phase in ("psi", "train", "evaluate"):
        moved = result["bytes"][phase]
        assert moved["guest_to_host"] > 0
        assert moved["host_to_guest"] > 0
    for party in ("guest", "host"):
        steps = {line["step"] for line in result["reveals"][party]}
        assert {"psi", "boosting"} <= steps
    assert any("linear equations" in text for text in result["warnings"])
    assert any("seed 7 fixes" in text for text in result["warnings"])
    assert not [line for line in result["reveals"]["host"] if line["step"] == "coin toss"]
    page = Path(result["report"]).read_text()
    assert page.startswith("<!DOCTYPE html>")
    for title in ("ROC curve", "KS curve", "Importance"):
        assert title in page
    kept = tmp_path / "kept"
    for party, other in (("guest-bank", "host-shop"), ("host-shop", "guest-bank")):
        with Database.open_reading(f"sqlite:///{kept / party / 'atoll.db'}") as database:
            ledger = DatabaseLedger(database, party)
            assert ledger.verify() is None
            kinds = [line["kind"] for line in ledger.entries()]
        assert {"approval", "reveal"} <= set(kinds)
        assert "people.csv" in [path.name for path in (kept / party / "data").iterdir()]
        assert not list((kept / party).rglob(f"*{other}*.csv"))
        assert NodeFolder(kept / party).running() is None
    # Another run, with other keys and folders, gives the same scores and figures to the last digit.
    again = again_in_one_process()
    for step in ("boosting", "prediction"):
        scores = kept / "outputs" / "guest-bank" / step / "scores.csv"
        assert scores.read_bytes() == again.files[f"{step}/scores.csv"]
    for key, part in (("auc", "test"), ("auc_train", "train")):
        assert result[key]["federated"] == again.metrics[f"evaluation.{part}.auc"]


def test_without_a_folder_only_the_report_stays(tmp_path: Path) -> None:
    done = demo(tmp_path, "--rows", "400", "--trees", "2", "--report", "page.html")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    for text in ("in common", "guest alone", "what the host learned", "warning: "):
        assert text in done.stdout
    assert "boosting done" in done.stderr


def test_credit_comes_close_to_the_centralised_model(tmp_path: Path, atoll_data: Path) -> None:
    done = demo(tmp_path, "--data", "credit", "--json", "--report", "page.html")
    assert done.returncode == 0, done.stderr
    auc = json.loads(done.stdout)["auc"]
    assert abs(auc["federated"] - auc["centralised"]) < 0.005
    assert auc["federated"] > auc["guest"] + 0.02


@pytest.mark.parametrize("depth", [3, 5])
def test_without_withheld_cuts_training_is_the_same(
    tmp_path: Path, atoll_data: Path, depth: int
) -> None:
    options = ["--minimum-rows", "0", "--depth", str(depth), "--trees", "5"]
    done = demo(tmp_path, "--data", "credit", "--json", *options)
    assert done.returncode == 0, done.stderr
    auc = json.loads(done.stdout)["auc_train"]
    assert abs(auc["federated"] - auc["centralised"]) < 0.002


class Running:
    """A demo that is under way."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [*ATOLL, "demo", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
            cwd=folder,
        )

    def until(self, text: str) -> None:
        """Read standard error until a line holds ``text``."""
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if text in line:
                return
        raise AssertionError(f"the demo ended before it said {text!r}: {''.join(lines)}")

    def end(self) -> tuple[int, str]:
        """Wait for the end; return exit code and standard output."""
        with self.process:
            out, _ = self.process.communicate(timeout=120)
        return self.process.returncode, out

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.end()


def inside(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").resolve().is_relative_to(folder)
    except OSError:
        return False


def workers(folder: Path) -> list[int]:
    """Return the nodes and workers whose arguments or place lie in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if (b"atoll.cli.node_process" in command and bytes(folder) in command) or (
                b"atoll.flow.work" in command and inside(entry, folder)
            ):
                found.append(int(entry.name))
    return found


def gone(folder: Path, seconds: float = 60.0) -> bool:
    """Return whether all workers of a folder end within some seconds."""
    ends = [os.pidfd_open(number) for number in workers(folder)]
    try:
        # A pidfd can be read from when its process has ended.
        return all(select.select([end], [], [], seconds)[0] for end in ends)
    finally:
        for end in ends:
            os.close(end)


LONG = ("--rows", "20000", "--trees", "400")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with Running(tmp_path, LONG) as running:
        running.until("psi done")
        assert workers(tmp_path)
        running.process.send_signal(number)
        code, out = running.end()
        assert (code, out) == (130, "")
        assert not workers(tmp_path)
        assert not list(tmp_path.iterdir())


def test_a_killed_node_ends_the_demo_with_peer_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOLL_JOBS__PEER_SECONDS", "5")
    monkeypatch.setenv("ATOLL_GATEWAY__SYNC_SECONDS", "0.5")
    with Running(tmp_path, LONG) as running:
        running.until("psi done")
        victim = next(
            number
            for number in workers(tmp_path)
            if b"host-shop" in Path(f"/proc/{number}/cmdline").read_bytes()
        )
        os.kill(victim, signal.SIGKILL)
        running.until("error ATL-FLW-")
        running.until("party: host-shop")
        code, out = running.end()
        assert code != 0
        assert out == ""
        assert not workers(tmp_path)
        assert not list(tmp_path.iterdir())


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    with Running(tmp_path, ("--rows", "4000", "--trees", "30", "--json")) as running:
        running.until("psi done")
        victim = next(
            number
            for number in workers(tmp_path)
            if b"flow.work" in Path(f"/proc/{number}/cmdline").read_bytes()
            and "host-shop" in str(Path(f"/proc/{number}/cwd").resolve())
        )
        os.kill(victim, signal.SIGKILL)
        code, out = running.end()
        assert code == 0
        assert json.loads(out)["auc"]["federated"] > 0.5


def test_kept_nodes_run_on_and_tell_how_to_come_in(tmp_path: Path) -> None:
    done = demo(tmp_path, "--json", "--keep", "--rows", "400", "--trees", "2")
    try:
        assert done.returncode == 0, done.stderr
        for party, reported in json.loads(done.stdout)["nodes"].items():
            assert NodeFolder(Path(reported["folder"])).running() is not None
            with Client(reported["url"]) as client:
                token = client.me.login(reported["user"], reported["password"]).token
            with Client(reported["url"], token=token) as client:
                assert client.me.show().must_change
            running = find(NodeFolder(Path(reported["folder"])))
            assert running is not None
            with Client(running.url, token=running.token) as client:
                assert [job.state for job in client.jobs.list().items] == ["success"], party
    finally:
        for party in ("guest-bank", "host-shop"):
            down(NodeFolder(tmp_path / "build/demo/nodes" / party))


def test_workers_do_not_outlive_a_killed_demo(tmp_path: Path) -> None:
    with Running(tmp_path, LONG) as running:
        running.until("psi done")
        running.process.kill()
        running.end()
        assert gone(tmp_path)
