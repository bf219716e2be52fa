"""What seconds are worth in accuracy: clients of heavy-tailed speeds on a simulated clock."""

from __future__ import annotations

from typing import Literal

import numpy as np

from atoll.audit.utility.task import Curve, Floats, Size, accuracy, owners, public
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.asynchronous import AsynchronousTraining, FedBuff
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.rounds import Closing
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.timed import TimedClients
from atoll.learning.horizontal.traces import SeededProfiles, Traces
from atoll.learning.horizontal.training import Round, Training

Way = Literal["rounds of all 20", "the first 20 of 26", "FedBuff, 20 at work"]
WAYS: tuple[Way, ...] = ("rounds of all 20", "the first 20 of 26", "FedBuff, 20 at work")
CLIENTS, COUNT, OVER, BUFFER, MOST = 60, 20, 1.3, 5, 1 << 16
FIRST, POINTS = 2.0, 60
MODEL = Linear(64, Softmax(10))
ALGORITHM = FedAvg(local=LocalTraining(learning_rate=0.1, batch_size=10), weighting="equal")
SPEEDS = SeededProfiles(spread="pareto", shape=1.1, seconds=1.0)


def curves(size: Size) -> list[Curve]:
    """Measure each way; ``x`` are seconds on the simulated clock."""
    moments = np.geomspace(FIRST, size.horizon, POINTS)
    found = []
    for way in WAYS:
        runs = [train(way, seed, size.horizon) for seed in size.seeds]
        # The model of a moment is the last one made before it.
        held = [scores[np.searchsorted(ends, moments, "right") - 1] for ends, scores in runs]
        steps = float(np.mean([len(ends) - 1 for ends, _ in runs]))
        found.append(Curve(way, moments, np.array(held), {"steps": steps}))
    return found


def train(way: Way, seed: int, horizon: float) -> tuple[Floats, Floats]:
    """Return when each model was made, in seconds, and its accuracy; the first is untrained.

    Both are float64[models]; the last model is the last made by the horizon.
    """
    data, held = owners(seed, CLIENTS)
    simulated = SimulatedClients(ALGORITHM, MODEL, CLIENTS, data.__getitem__, public(seed))
    over = way == "the first 20 of 26"
    closing = Closing(first=COUNT) if over else Closing()
    clients = TimedClients(simulated, Traces.seeded(public(seed), SPEEDS), closing)
    weights = MODEL.initial(np.random.default_rng(seed))
    points = [(0.0, accuracy(MODEL, weights, held))]

    def look(done: Round) -> bool:
        now = clients.clock.now()
        if now <= horizon:
            points.append((now, accuracy(MODEL, done.state.weights, held)))
        return now > horizon

    start = ALGORITHM.start(weights)
    if way == "FedBuff, 20 at work":
        buffered = AsynchronousTraining(ALGORITHM, FedBuff(concurrency=COUNT, buffer=BUFFER), MOST)
        buffered.run(start, clients, public(seed), (look,))
    else:
        asked = Participation(count=COUNT, over=OVER if over else 1.0)
        Training(ALGORITHM, asked, MOST).run(start, clients, public(seed), (look,))
    ends, scores = np.array(points).T
    return ends, scores
