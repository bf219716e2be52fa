"""Large models in bounded memory: multiples of a model's bytes, each party a process of its own.

A round of three clients. ``SLACK`` is what does not grow with the model: windows of the channels,
pieces, libraries. The multiples are those of docs/guide/horizontal.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.learning.horizontal import party_process
from tests.learning.horizontal.party_process import ALL, CLIENTS, HUB

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]
SLACK = 48 << 20
VALUES = 20_000_000
# 2 GB in float32, and what a computer needs to have free for it.
LARGE, NEEDED = 500_000_000, 10 << 30


def start(folder: Path, name: str, values: int, sum_: str, address: str) -> subprocess.Popen[str]:
    module = party_process.__name__
    command = [sys.executable, "-m", module, str(folder), name, str(values), sum_, address]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    lines = process.communicate(timeout=800)[0].splitlines()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(lines[-1])
    return found


@pytest.mark.parametrize(("sum_", "most"), [("plain", 3), ("masked", 4)])
def test_parties_hold_a_model_a_few_times(tmp_path: Path, sum_: str, most: int) -> None:
    party_process.prepare(tmp_path)
    hub = start(tmp_path, HUB, VALUES, sum_, "-")
    assert hub.stdout is not None
    address = hub.stdout.readline().strip()
    started = [start(tmp_path, name, VALUES, sum_, address) for name in CLIENTS]
    clients, centre = [result(process) for process in started], result(hub)
    assert len({found["weights"] for found in (*clients, centre)}) == 1
    assert centre["size"] >= 4 * VALUES
    assert centre["grown"] <= most * centre["size"] + SLACK
    for found in clients:
        assert found["grown"] <= 3 * found["size"] + SLACK


@pytest.mark.parametrize(
    ("values", "sum_"), [(VALUES, "plain"), (VALUES, "masked"), (LARGE, "plain")]
)
def test_a_simulation_holds_a_model_four_times(tmp_path: Path, values: int, sum_: str) -> None:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if values == LARGE and free < NEEDED:
        pytest.skip("not enough memory is free for a model of 2 GB")
    found = result(start(tmp_path, ALL, values, sum_, "-"))
    assert found["size"] >= 4 * values
    assert found["grown"] <= 4 * found["size"] + SLACK
