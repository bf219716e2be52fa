"""What privacy costs in accuracy with four owners of digits: of single rows, and of whole owners.

``python -m atoll.audit.row_privacy`` prints the figures as one JSON object. They are of the very
training that a job runs (``components.horizontal``), between clients in one process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from atoll.audit.inversion import digits
from atoll.components.horizontal import work_of
from atoll.core.random import PublicRandom, SecretRandom
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.partition import dirichlet
from atoll.learning.horizontal.simulation import SecretSource, SimulatedClients
from atoll.learning.horizontal.training import Training

OWNERS, ROWS, HELD_OUT, SKEW = 4, 1437, 360, 0.3
SEEDS = (1, 2, 3)
BY_ROW: Mapping[str, Any] = {"algorithm": "fedsgd", "rounds": 40, "learning_rate": 4.0}
BY_OWNER: Mapping[str, Any] = {
    "algorithm": "fedavg",
    "weighting": "equal",
    "rounds": 10,
    "learning_rate": 0.2,
}


def measure(
    parameters: Mapping[str, Any], seed: int, secret: SecretSource | None = None
) -> tuple[float, float | None]:
    """Train and return the accuracy on held-out rows, and ε against the aggregator.

    The digits are shared out among the owners so that each has mostly some of them. ``secret``
    draws the noise; by default the operating system does.
    """
    whole = digits(ROWS + HELD_OUT)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(whole))
    own, held = order[:ROWS], order[ROWS:]
    parts = dirichlet(whole.targets[own], OWNERS, SKEW, rng)
    data = [ClientRows(whole.rows[own[p]].astype(np.float32), whole.targets[own[p]]) for p in parts]
    chosen = HorizontalParameters(
        family="softmax", classes=10, minimum_clients=OWNERS, evaluate_every=0, **parameters
    )
    rows = {f"owner-{at}": len(part) for at, part in enumerate(data)}
    work = work_of(chosen, chosen.spec(whole.rows.shape[1]), OWNERS, rows)
    public = PublicRandom(seed.to_bytes(32, "big"), fixed=True)
    clients = SimulatedClients(
        work.algorithm,
        work.model,
        OWNERS,
        data.__getitem__,
        public,
        chain=work.chain,
        secret=secret or (lambda round_, number: SecretRandom()),
    )
    start = work.algorithm.start(work.model.initial(np.random.default_rng(seed)))
    training = Training(work.algorithm, Participation(method="all"), work.rounds)
    weights = training.run(start, clients, public).weights
    found = work.model.predict(weights, whole.rows[held].astype(np.float32)).argmax(axis=1)
    accuracy = float((found == whole.targets[held]).mean())
    seen = None if work.private is None else work.private.spent(work.rounds).aggregator
    return accuracy, None if seen is None else seen.epsilon


def line(unit: str, epsilon: float | None) -> dict[str, Any]:
    """Return the figures of one unit and one ε (None: no noise, no clip) over three seeds."""
    parameters = dict(BY_ROW if unit == "row" else BY_OWNER)
    if epsilon is not None:
        parameters["privacy"] = {"unit": "row" if unit == "row" else "client", "epsilon": epsilon}
    else:
        # Where nothing is clipped a larger step does not settle, and rounds cost nothing.
        parameters |= {"learning_rate": 0.5, "rounds": 400} if unit == "row" else {}
    runs = [measure(parameters, seed) for seed in SEEDS]
    accuracy = [accuracy for accuracy, _ in runs]
    return {
        "unit": unit,
        "epsilon": None if epsilon is None else round(runs[0][1] or 0.0, 3),
        "accuracy": round(float(np.mean(accuracy)), 3),
        "least": round(min(accuracy), 3),
        "most": round(max(accuracy), 3),
    }


def figures() -> list[dict[str, Any]]:
    """Measure rows at several ε and without, and owners as a whole."""
    lines = [line("row", epsilon) for epsilon in (None, 3.0, 1.0, 0.3, 0.1)]
    return lines + [line("owner", epsilon) for epsilon in (None, 3.0)]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(figures(), indent=1) + "\n")
