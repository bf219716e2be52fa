"""The benchmark's rounds under pfl's simulation; run by an interpreter that has pfl and PyTorch.

``python pfl_rounds.py DATA.npz MODEL ROUNDS``: see ``flwr_rounds``. One process, one thread.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel

ROUND, BATCH, RATE, HIDDEN, CLIENTS = 100, 20, 0.1, 200, 1000


class Network(torch.nn.Module):
    """Softmax regression, or one hidden layer with ReLU."""

    def __init__(self, name: str) -> None:
        super().__init__()
        layers = [torch.nn.Linear(784, 10)]
        if name == "mlp":
            layers = [torch.nn.Linear(784, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10)]
        self.layers = torch.nn.Sequential(*layers)
        self.cross_entropy = torch.nn.CrossEntropyLoss(reduction="sum")

    def forward(self, rows, labels=None):
        return self.layers(rows)

    def loss(self, rows, labels, is_eval=False):
        return self.cross_entropy(self(rows), labels) / len(labels)

    def metrics(self, rows, labels):
        return {}


class Timed(TrainingProcessCallback):
    """Notes when each round was added up."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        self.marks.append((time.monotonic(), time.process_time()))
        return False, Metrics()


def main() -> None:
    """Run the simulation and print the figures."""
    path, name, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    began = time.monotonic()
    data = np.load(path)
    rows, labels, ends = np.load(path.with_suffix(".rows.npy")), data["labels"], data["ends"]
    starts = np.concatenate([[0], ends[:-1]])

    def part(number: int) -> Dataset:
        own = slice(starts[number], ends[number])
        return Dataset([torch.from_numpy(rows[own]), torch.from_numpy(labels[own])], number)

    network, timed = Network(name), Timed()
    full = [number for number in range(CLIENTS) if ends[number] > starts[number]]
    model = PyTorchModel(
        network,
        local_optimizer_create=torch.optim.SGD,
        central_optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
    )
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=rounds,
            evaluation_frequency=rounds + 1,
            train_cohort_size=ROUND,
            val_cohort_size=0,
        ),
        backend=SimulatedBackend(
            training_data=FederatedDataset(part, get_user_sampler("random", full)), val_data=None
        ),
        model=model,
        model_train_params=NNTrainHyperParams(
            local_num_epochs=1, local_learning_rate=RATE, local_batch_size=BATCH
        ),
        callbacks=[timed],
    )
    walls, used = zip(*timed.marks, strict=True)
    figures = {
        "seconds": (walls[-1] - walls[0]) / (len(walls) - 1),
        "cpu_seconds": (used[-1] - used[0]) / (len(used) - 1),
        "first_round": walls[0] - began,
        "rounds": len(walls) - 1,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
