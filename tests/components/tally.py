"""A component that brings a kind of model of its own: weights for standardised differences.

Each party weighs its own columns; the guest adds the sums of all. It is small, and it is complete:
trained, stored, renamed, scored, with what it reveals. Tests install it as a package, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from atoll.channel.party import Party
from atoll.components.api import ArtifactFacts, Component, Facts, Port, Result, Reveal, Task, Terms
from atoll.core.errors import UserError
from atoll.core.message import Message, array
from atoll.jobs.participation import NO_EDGES
from atoll.jobs.schema import Purpose
from atoll.models.kinds import ModelKind, Scorer

SUMS = "the weighted sum of the host's columns in each scored row"


@dataclass(frozen=True)
class Sums(Message, kind="tally.sums", version=1):
    """Host to guest."""

    sums: Any = array("f8", (None,), 1 << 23, reveals=SUMS)


@dataclass(frozen=True)
class Weights:
    """A party's part of the model."""

    party: str
    parties: tuple[str, ...]
    weights: tuple[tuple[str, float], ...]


class Parameters(BaseModel):
    """How large weights are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: float = Field(default=1.0, ge=0.0, le=100.0, description="the size of each weight")


def encode(part: Weights) -> bytes:
    plain = {"party": part.party, "parties": part.parties, "weights": part.weights}
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def decode(data: bytes) -> Weights:
    try:
        plain = json.loads(data)
        weights = tuple((str(name), float(weight)) for name, weight in plain["weights"])
        part = Weights(str(plain["party"]), tuple(map(str, plain["parties"])), weights)
        if encode(part) == data:
            return part
    except (ValueError, TypeError, KeyError):
        pass
    raise UserError("ATL-MOD-001", "this is no part of a tally")


def rename(part: Weights, names: Mapping[str, str]) -> Weights:
    parties = tuple(names.get(name, name) for name in part.parties)
    return replace(part, party=names.get(part.party, part.party), parties=parties)


def score(party: Party, part: Weights, features: Any, names: Sequence[str]) -> Any:
    weights = dict(part.weights)
    sums = features @ np.array([weights[name] for name in names])
    if party.name != party.guest:
        party.channel.send(party.guest, "score", Sums(sums))
        return None
    for host in party.hosts:
        sums = sums + party.channel.receive(host, "score", Sums).sums
    return 1 / (1 + np.exp(-sums))


MODEL = ModelKind(
    name="tally.model",
    parts=(Weights,),
    encode=encode,
    decode=decode,
    most_bytes=1 << 20,
    party=lambda part: part.party,
    columns=lambda part: tuple(name for name, _ in part.weights),
    fits=lambda part, roles: {*part.parties} == {*roles},
    rename=rename,
    media="",
    scorer=Scorer(
        run=score,
        implementation="tally.sums",
        trust_model="federated",
        reveals=(Reveal("host", "guest", Sums.kind, "sums", "rows", SUMS),),
        estimate=lambda rows, roles: 8 * rows * (len(roles) - 1),
    ),
)


def run(task: Task, parameters: Parameters) -> Result:
    """Weigh each column by the sign of its mean."""
    table = task.inputs["train"]
    means = np.nan_to_num(table.matrix()).mean(axis=0)
    weights = [float(parameters.size * np.sign(mean)) for mean in means]
    parties = tuple(sorted(task.party.roles))
    part = Weights(task.party.name, parties, tuple(zip(table.columns, weights, strict=True)))
    return Result({"model": part})


def describe(facts: Facts, parameters: Parameters) -> Terms:
    """Nothing is sent."""
    made = {
        party: ArtifactFacts(MODEL.name, columns=table.columns)
        for party, table in facts.inputs["train"].items()
    }
    return Terms(outputs={"model": made})


COMPONENT = Component(
    name="tally",
    version="1",
    parameters=Parameters,
    run=run,
    describe=describe,
    edges=NO_EDGES,
    sources=("atoll.components.api",),
    inputs={"train": Port("table", purpose=Purpose.TRAIN, everywhere=True, aligned=True)},
    outputs={"model": MODEL.name},
    model_kinds=(MODEL,),
)
