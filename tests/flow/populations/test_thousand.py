"""A thousand outbound clients, each with a TLS connection of its own, at one aggregator."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from atoll.flow.populations.folder import Population
from tests.flow.populations.helpers import population

CLIENTS, PROCESSES, ROUNDS, ASKED = 1000, 4, 5, 100
TOP = Path(__file__).resolve().parents[3]


def processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_megabytes(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    # A process that has just ended has none.
    return max((int(x.split()[1]) for x in lines if x.startswith("VmHWM")), default=0) / 1024


def established(port: int) -> int:
    """Count the open connections at a port of this machine."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(f":{port:04X}" in row.split()[1] and row.split()[3] == "01" for row in rows)


def serve(made: Population, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    options = ["--host", "127.0.0.1", "--clients", str(ASKED), "--over", "1.1", "--rate", "200"]
    options += ["--pace", "1", "--fetch", "30", "--window", "600", "--limit", "120"]
    stream = log.open("wb")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "atoll",
            "population",
            "serve",
            "--folder",
            str(made.root),
            *options,
        ],
        stdout=stream,
        stderr=stream,
        cwd=TOP,
    )
    stream.close()
    until = time.monotonic() + 60
    while "at port " not in log.read_text():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)
    return process, int(log.read_text().partition("at port ")[2].split()[0])


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_a_thousand_clients_train_at_one_aggregator(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    training = {"rounds": ROUNDS, "minimum_clients": ASKED}
    made = population(tmp_path / "population", training)
    log = tmp_path / "server.log"
    server, port = serve(made, log)
    each = CLIENTS // PROCESSES
    loads = []
    try:
        codes = [code.text() for code, _ in made.invite(f"127.0.0.1:{port}", count=CLIENTS)]
        for at in range(PROCESSES):
            file = tmp_path / f"codes-{at}"
            file.write_text("\n".join(codes[at * each : (at + 1) * each]))
            arguments = [str(file), str(tmp_path / f"clients-{at}"), str(at * each)]
            command = [sys.executable, "-m", "tests.flow.populations.load", *arguments]
            loads.append(
                subprocess.Popen(
                    command,
                    cwd=TOP,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                )
            )
        most, until = 0, time.monotonic() + 600
        spent = memory = 0.0
        while server.poll() is None and time.monotonic() < until:
            most = max(most, established(port))
            if Path(f"/proc/{server.pid}/status").exists():
                spent = processor_seconds(server.pid)
                memory = max(memory, peak_megabytes(server.pid))
            time.sleep(0.2)
        assert server.poll() == 0, log.read_text()
        # Clients that are not in a round hold their connections, too.
        assert most >= CLIENTS
        figures = {"connections": most, "processor": spent, "megabytes": memory}
        for name, value in figures.items():
            record_property(name, value)
        print(figures, log.read_text())
    finally:
        for load in loads:
            out, _ = load.communicate(timeout=60)
            print(out.decode())
            assert load.returncode == 0
        if server.poll() is None:
            server.kill()
            server.wait()
    store = made.store()
    assert store.count() == CLIENTS
    store.close()
    assert f"round {ROUNDS}/{ROUNDS}: {ASKED} of" in log.read_text()
