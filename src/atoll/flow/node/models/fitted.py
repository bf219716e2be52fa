"""What the steps before a training fitted, as the record of a model version lists it by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, JsonValue, TypeAdapter

from atoll.jobs.definition import PARTIES, STEPS, Frozen

# Where it stands in a model's lineage.
FITTED = "fitted"


class FittedFacts(Frozen):
    """What one step fitted.

    ``parties`` are those that hold a part of it; ``digest`` and ``bytes`` are of this party's, None
    and 0 if it holds none.
    """

    kind: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,62}\.transform$")
    parties: tuple[str, ...] = Field(max_length=PARTIES)
    digest: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    bytes: int = Field(default=0, ge=0, le=1 << 40)


Fitted = Mapping[str, FittedFacts]
FittedByStep = Annotated[
    dict[Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,62}$")], FittedFacts],
    Field(max_length=STEPS),
]
_BY_STEP: TypeAdapter[dict[str, FittedFacts]] = TypeAdapter(FittedByStep)


def plain(fitted: Fitted) -> dict[str, JsonValue]:
    """Return the JSON form of what was fitted, by step."""
    return {step: facts.model_dump(mode="json") for step, facts in sorted(fitted.items())}


def fitted_of(lineage: Mapping[str, Any]) -> dict[str, FittedFacts]:
    """Return what a model's lineage lists. Errors: ValueError for anything else."""
    return _BY_STEP.validate_python(lineage.get(FITTED, {}))


def with_fitted(lineage: Mapping[str, Any], fitted: Fitted) -> dict[str, Any]:
    """Return a lineage that lists what was fitted; without any the field is left out."""
    rest = {name: value for name, value in lineage.items() if name != FITTED}
    return {**rest, FITTED: plain(fitted)} if fitted else rest
