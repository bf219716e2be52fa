"""The benchmark's rounds under Flower's simulation; run by an interpreter that has Flower.

``python flwr_rounds.py DATA.npz MODEL ROUNDS``: DATA holds labels and the ends of the clients'
parts, DATA.rows.npy their rows; MODEL is mlp or logistic. Prints one JSON object: seconds and
processor seconds of a round after the first, over all processes that it started.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation

ROUND, BATCH, RATE, HIDDEN = 100, 20, 0.1, 200
DATA, MODEL, ROUNDS = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
TICKS = os.sysconf("SC_CLK_TCK")


def spent() -> float:
    """Return the processor seconds of this process and of all that come from it."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.name)] = int(fields[1])
        used[int(path.name)] = sum(map(int, fields[11:15])) / TICKS
    own, total = os.getpid(), 0.0
    for process in used:
        at = process
        while at > 1 and at != own:
            at = parents.get(at, 0)
        total += used[process] if at == own else 0.0
    return total


class Local(NumPyClient):
    """One client: an epoch of plain steps, by hand in NumPy."""

    def __init__(self, rows: np.ndarray, labels: np.ndarray) -> None:
        self.rows, self.labels = rows, labels

    def fit(self, parameters, config):
        own = [np.array(part) for part in parameters]
        order = np.random.default_rng().permutation(len(self.rows))
        for start in range(0, len(order), BATCH):
            step(
                own,
                self.rows[order[start : start + BATCH]],
                self.labels[order[start : start + BATCH]],
            )
        return own, len(self.rows), {}


def step(own: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> None:
    """Take one step of gradient descent in place."""
    hidden = np.maximum(x @ own[0] + own[1], 0) if len(own) == 4 else x
    z = hidden @ own[-2] + own[-1]
    z -= z.max(axis=1, keepdims=True)
    error = np.exp(z)
    error /= error.sum(axis=1, keepdims=True)
    error[np.arange(len(y)), y] -= 1
    error /= len(y)
    below = (error @ own[2].T) * (hidden > 0) if len(own) == 4 else None
    own[-2] -= RATE * (hidden.T @ error)
    own[-1] -= RATE * error.sum(axis=0)
    if below is not None:
        own[0] -= RATE * (x.T @ below)
        own[1] -= RATE * below.sum(axis=0)


def client(context: Context):
    """Return the client of a node: its part of the rows."""
    data = np.load(DATA, mmap_mode="r")
    number = int(context.node_config["partition-id"])
    ends = data["ends"]
    start = 0 if number == 0 else int(ends[number - 1])
    rows = np.load(DATA.with_suffix(".rows.npy"), mmap_mode="r")[start : ends[number]]
    return Local(np.array(rows), data["labels"][start : ends[number]]).to_client()


class Timed(FedAvg):
    """FedAvg that notes when each round was added up."""

    marks: list[tuple[float, float]] = []

    def aggregate_fit(self, server_round, results, failures):
        assert len(results) == ROUND, failures[:1]
        found = super().aggregate_fit(server_round, results, failures)
        self.marks.append((time.monotonic(), spent()))
        return found


def server(context: Context) -> ServerAppComponents:
    """Return FedAvg over ROUND clients."""
    generator = np.random.default_rng(0)
    widths = (784, HIDDEN, 10) if MODEL == "mlp" else (784, 10)
    weights = []
    for inputs, outputs in pairwise(widths):
        scale = (2 / inputs) ** 0.5 if MODEL == "mlp" else 0.0
        weights.append((generator.normal(size=(inputs, outputs)) * scale).astype(np.float32))
        weights.append(np.zeros(outputs, np.float32))
    strategy = Timed(
        fraction_fit=ROUND / 1000,
        min_fit_clients=ROUND,
        min_available_clients=1000,
        fraction_evaluate=0.0,
        initial_parameters=ndarrays_to_parameters(weights),
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=ROUNDS))


def main() -> None:
    """Run the simulation and print the figures."""
    began = time.monotonic()
    options = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"num_cpus": 2}}
    run_simulation(
        ServerApp(server_fn=server), ClientApp(client_fn=client), 1000, backend_config=options
    )
    walls, used = zip(*Timed.marks, strict=True)
    rounds = len(walls) - 1
    figures = {
        "seconds": (walls[-1] - walls[0]) / rounds,
        "cpu_seconds": (used[-1] - used[0]) / rounds,
        "first_round": walls[0] - began,
        "rounds": rounds,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
