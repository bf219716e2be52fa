"""Whether a client took part in a training, guessed from the model that came out.

The attacker knows a client's rows and how the training works. It trains models like it on halves of
a population that it has itself (shadows), and compares the client's loss under the published model
with its losses under those that did not have it: lower than usual means a member. Each client is a
member of half of the shadows, and the threshold is set on them: nothing is fitted to the answers.

Source: Carlini et al., "Membership Inference Attacks From First Principles" (S&P 2022), the
offline form of LiRA.

``python -m atoll.audit.membership`` prints the figures as one JSON object.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.audit.inversion import digits
from atoll.core.random import PublicRandom
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.noise import CentralNoise
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.training import Training
from atoll.privacy.accounting.api import Relation, Release
from atoll.privacy.accounting.bounds import guarantee
from atoll.privacy.accounting.calibrate import multiplier_for

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
DELTA = 1e-5
MODEL = MLP(64, (64,), Softmax(10))
ALGORITHM = FedAvg(
    weighting="equal", local=LocalTraining(epochs=2, batch_size=None, learning_rate=0.7)
)


@dataclass(frozen=True)
class Membership:
    """What an attack reached on ``clients`` of which half were members.

    ``advantage`` is the share of members called members less that of the others called so; with
    privacy (ε, δ) it cannot pass ``most`` but by chance. ``accuracy`` is the model's on rows that
    no one trained on.
    """

    clients: int
    advantage: float
    accuracy: float
    epsilon: float
    most: float


@dataclass(frozen=True)
class Task:
    """A population of ``clients`` with ``rows`` rows each, half of which train for ``rounds``."""

    clients: int = 120
    rows: int = 1
    rounds: int = 40
    shadows: int = 8
    norm: float = 1.0

    def population(self) -> tuple[list[ClientRows], ClientRows]:
        """Return the clients, and rows of no client to test on."""
        whole = digits(self.clients * self.rows + 600)
        parts = np.split(np.arange(self.clients * self.rows), self.clients)
        rest = slice(self.clients * self.rows, None)
        whole = ClientRows(whole.rows.astype(np.float32), whole.targets)
        clients = [ClientRows(whole.rows[p], whole.targets[p]) for p in parts]
        return clients, ClientRows(whole.rows[rest], whole.targets[rest])

    def train(self, members: list[ClientRows], multiplier: float, seed: int) -> Vector:
        """Return weights trained by ``members``, with central noise unless ``multiplier`` is 0."""
        public = PublicRandom(f"membership {seed}".encode() * 4, fixed=True)
        simulated = SimulatedClients(
            ALGORITHM,
            MODEL,
            len(members),
            members.__getitem__,
            public,
            chain=self.chain(multiplier),
        )
        training = Training(ALGORITHM, Participation(method="all"), self.rounds)
        weights = MODEL.initial(np.random.default_rng(seed))
        return training.run(ALGORITHM.start(weights), simulated, public).weights

    def chain(self, multiplier: float) -> Chain:
        """Return the postprocessors: none, or a clip and noise."""
        if not multiplier:
            return Chain()
        noise = CentralNoise(norm=self.norm, multiplier=multiplier, clients=self.clients // 2)
        return Chain((Clip(norm=self.norm), noise))


def attack(task: Task, epsilon: float | None, seed: int = 0) -> Membership:
    """Train and attack, without privacy (None) or with central noise of this ε at δ = 1e-5.

    The relation is add-or-remove one client with all its rows; nothing is sampled.
    """
    relation, multiplier, reached = Relation.ADD_OR_REMOVE, 0.0, math.inf
    if epsilon is not None:
        multiplier = multiplier_for(epsilon, DELTA, task.rounds, Release(1.0), relation)
        reached = guarantee(Release(multiplier), task.rounds, DELTA, relation).epsilon
    clients, test = task.population()
    generator = np.random.default_rng(seed)
    member, losses = _halves(task, generator), np.empty((task.shadows + 1, task.clients))
    for at, own in enumerate(member):
        joined = [part for part, inside in zip(clients, own, strict=True) if inside]
        weights = task.train(joined, multiplier, seed + at)
        gradient = MODEL.gradient_of(weights)
        losses[at] = [gradient.loss(part.rows, part.targets) for part in clients]
    # The last one is the model that was published: what is known of it is ``weights``.
    guessed = guesses(losses[:-1], member[:-1], losses[-1])
    hits, false = guessed[member[-1]].mean(), guessed[~member[-1]].mean()
    right = MODEL.predict(weights, test.rows).argmax(axis=1) == test.targets
    return Membership(
        task.clients, float(hits - false), float(right.mean()), reached, most_advantage(reached)
    )


def guesses(losses: Floats, member: Bools, published: Floats) -> Bools:
    """Return who is called a member, bool[clients].

    ``losses`` are float64[shadows, clients], ``member`` says who was in which shadow, and
    ``published`` are the losses under the model in question.
    """
    outside = np.where(member, np.nan, _logit(losses))
    centre, width = np.nanmean(outside, axis=0), np.nanstd(outside, axis=0) + 1e-2
    known = (_logit(losses) - centre) / width
    tried = np.quantile(known, np.linspace(0.01, 0.99, 99))
    gained = [(known[member] < t).mean() - (known[~member] < t).mean() for t in tried]
    guessed: Bools = (_logit(published) - centre) / width < tried[int(np.argmax(gained))]
    return guessed


def most_advantage(epsilon: float, delta: float = DELTA) -> float:
    """Return the greatest advantage that (ε, δ) allows (Kairouz, Oh, Viswanath 2015)."""
    if epsilon > 700:
        return 1.0
    return (math.expm1(epsilon) + 2 * delta) / (math.exp(epsilon) + 1)


def _logit(losses: Floats) -> Floats:
    """Return the logarithm of losses, whose distribution is nearer to a normal one."""
    return np.log(np.maximum(losses, 1e-12))


def _halves(task: Task, generator: np.random.Generator) -> Bools:
    """Return bool[shadows + 1, clients]: each client in half of the shadows, at random."""
    order = generator.random((task.shadows, task.clients)).argsort(axis=0)
    shadows = order < task.shadows // 2
    published = np.zeros((1, task.clients), dtype=np.bool_)
    published[0, generator.permutation(task.clients)[: task.clients // 2]] = True
    return np.concatenate([shadows, published])


def figures(task: Task | None = None) -> list[dict[str, Any]]:
    """Measure the attack without privacy and at several ε."""
    lines = []
    for epsilon in (None, 50.0, 10.0, 2.0):
        found = attack(task or Task(), epsilon)
        lines.append({name: round(value, 3) for name, value in vars(found).items()})
        lines[-1]["epsilon"] = lines[-1]["epsilon"] if epsilon else None
    return lines


if __name__ == "__main__":
    sys.stdout.write(json.dumps(figures(), indent=1) + "\n")
