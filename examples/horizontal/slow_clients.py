"""Clients whose speeds are heavy-tailed: rounds wait for the slowest, FedBuff for none."""

from __future__ import annotations

import numpy as np
from common import Claim, Example, loss, main, public, simulated

from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.asynchronous import AsynchronousTraining, FedBuff
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.rounds import Closing
from atoll.learning.horizontal.synthetic import Clusters
from atoll.learning.horizontal.timed import TimedClients
from atoll.learning.horizontal.traces import SeededProfiles, Traces
from atoll.learning.horizontal.training import Round, Training

ALGORITHM = FedAvg(local=LocalTraining(batch_size=10, learning_rate=0.1))
MODEL = Linear(20, Softmax(10))
TARGET = 0.5
SPEEDS = SeededProfiles(spread="pareto", shape=1.1, seconds=1.0)


def seconds(way: str, seed: int) -> float:
    """Return the simulated seconds until the loss over all rows is at most ``TARGET``."""
    task = Clusters(public(seed), size=20)
    data = [task(number) for number in range(60)]
    traces = Traces.seeded(public(seed), SPEEDS)
    clients = TimedClients(simulated(ALGORITHM, MODEL, data, seed), traces, Closing())

    def stop(done: Round) -> bool:
        return loss(MODEL, done.state, data) <= TARGET

    start = ALGORITHM.start(np.zeros(MODEL.layout.size))
    if way == "buffered":
        plan = FedBuff(concurrency=20, buffer=5)
        AsynchronousTraining(ALGORITHM, plan, 2000).run(start, clients, public(seed), (stop,))
    else:
        over = way == "over-selection"
        clients.closing = Closing(first=20) if over else Closing()
        asked = Participation(count=20, over=1.3 if over else 1.0)
        Training(ALGORITHM, asked, 500).run(start, clients, public(seed), (stop,))
    return clients.clock.now()


def run(seed: int) -> Claim:
    """Compare the times."""
    figures = {
        "rounds": seconds("rounds", seed),
        "rounds of the first 20 of 26": seconds("over-selection", seed),
        "FedBuff": seconds("buffered", seed),
    }
    return Claim(figures, figures["FedBuff"] < min(list(figures.values())[:2]))


FEDBUFF = Example(
    "FedBuff beats synchronous rounds where speeds are heavy-tailed",
    "Nguyen et al. 2022",
    f"simulated seconds to a loss of {TARGET}",
    run,
)

if __name__ == "__main__":
    main(FEDBUFF)
