"""Runs of boosting in one process, beside the same run in the clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.channel import world
from atoll.channel.party import Party
from atoll.core.names import Role
from atoll.core.random import PublicRandom, SecretRandom
from atoll.learning.vertical.boosting import (
    BoostingInputs,
    BoostingParameters,
    TrainingResult,
    centralised,
    predict,
    reveals,
    train,
)
from atoll.learning.vertical.boosting.api import Observed
from atoll.learning.vertical.boosting.grow import model_id

Floats = npt.NDArray[np.float64]
NAMES = ("bank", "shop", "telco", "water")


def roles(names: Sequence[str]) -> dict[str, Role]:
    return {name: Role.HOST if at else Role.GUEST for at, name in enumerate(names)}


def table(rows: int, columns: int, seed: int, missing: float = 0.1) -> tuple[Floats, Floats]:
    """Return mixed columns (many ties, few values, missing ones) and labels that depend on them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns))
    x[:, 1::3] = np.round(x[:, 1::3])
    x[:, 2::4] = np.maximum(x[:, 2::4], 0.0)
    z = 1.5 * x[:, 0] + x[:, columns // 2] * x[:, 1] - x[:, -1] + rng.logistic(size=rows)
    x[:, ::2][rng.random((rows, len(range(0, columns, 2)))) < missing] = np.nan
    return x, (z > 0.3).astype(np.float64)


def share(
    x: Floats, y: Floats, names: Sequence[str], held_out: int = 0
) -> dict[str, BoostingInputs]:
    """Split columns evenly among the parties and the last rows off for validation."""
    parts = np.array_split(np.arange(x.shape[1]), len(names))
    found = {}
    for at, (name, columns) in enumerate(zip(names, parts, strict=True)):
        own = np.ascontiguousarray(x[:, columns])
        labels = tuple(f"{name}{column}" for column in columns)
        cut = len(y) - held_out
        validation = None
        if held_out:
            validation = BoostingInputs(own[cut:], labels, None if at else y[cut:])
        found[name] = BoostingInputs(own[:cut], labels, None if at else y[:cut], validation)
    return found


@dataclass
class Played:
    """What came of a run: results, scores and channels by party."""

    results: dict[str, TrainingResult]
    scores: Floats
    world: world.World


def play(
    inputs: Mapping[str, BoostingInputs], parameters: BoostingParameters, seed: int = 7
) -> Played:
    """Train and score the training rows, each party on a thread of its own."""

    def entry(party: Party) -> Any:
        mine = inputs[party.name]
        trained = train(party, mine, parameters)
        return trained, predict(party, trained.part, mine.features, mine.names)

    done = world.run(roles(tuple(inputs)), entry, seed=seed).check()
    names = list(inputs)
    return Played({name: done.results[name][0] for name in names}, done.results[names[0]][1], done)


def in_the_clear(
    inputs: Mapping[str, BoostingInputs], parameters: BoostingParameters, seed: int = 7
) -> centralised.CentralisedResult:
    """Run the centralised training with the randomness that ``play`` hands out."""
    captured: dict[str, Party] = {}
    world.run(roles(tuple(inputs)), lambda party: captured.update({party.name: party}), seed=seed)
    names = tuple(inputs)
    party = captured[names[0]]
    public: PublicRandom = party.public_rng
    seeds = {name: SecretRandom.seeded(f"{seed}/{name}".encode()).bytes(32) for name in names}
    return centralised.train_in_the_clear(
        centralised.World(
            names,
            dict(inputs),
            parameters,
            public,
            party.channel.scope.task,
            seeds,
            model_id(party.session, party.channel.scope.task),
        )
    )


def disclosed(played: Played, sender: str, receiver: str) -> dict[tuple[str, str], int]:
    """Return what a party really told another, by message and field, without scoring."""
    counts = played.world.channels[sender].disclosures.counts
    return {
        (kind, field): count
        for (a, b, kind, field), count in counts.items()
        if (a, b) == (sender, receiver) and kind != "boosting.score_bits" and count
    }


def declared(
    parameters: BoostingParameters, observed: Observed, peer: str, receiver: Role
) -> dict[tuple[str, str], int]:
    """Return what the declared formulas say for these observed counts."""
    found = {
        (line.message, line.field): line.count(observed[peer])
        for line in reveals(parameters.implementation)
        if line.receiver == receiver
    }
    return {key: count for key, count in found.items() if count}
