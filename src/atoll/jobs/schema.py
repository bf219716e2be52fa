"""What ``jobs`` knows of a component: its ports, its parameters' schema and who may take part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel

from atoll.core.names import Role
from atoll.jobs.participation import ALL, VERTICAL, Edges, Participants

# Marks a parameter as a party's own: ``Field(..., json_schema_extra=PARTY_LOCAL)``.
PARTY_LOCAL: dict[str, Any] = {"party": True}


class Purpose(StrEnum):
    """What a component takes an input for; a training graph's predict job is made by it."""

    DATA = "data"
    TRAIN = "train"
    VALIDATE = "validate"
    TEST = "test"
    MODEL = "model"
    ISOMETRIC = "isometric model"
    CACHE = "cache"


@dataclass(frozen=True)
class Port:
    """An input of a component: the kinds of artifact that it takes, and whether it must be there.

    A kind takes itself and what ends in it: ``model`` takes ``x.model``. ``alternatives``
    are further kinds, ``many`` admits several sources (``port.0``, ``port.1``, …). ``everywhere``
    asks that each seat has one; ``aligned`` that the parties which do agreed on its rows;
    ``label`` that those with a label's role have one, or one with the classes 0 and 1. ``roles``
    are those that take the input (None: each). ``only_with`` leaves seats without it out of the
    step, as in every step without messages.
    """

    kind: str
    optional: bool = False
    alternatives: tuple[str, ...] = ()
    purpose: Purpose = Purpose.DATA
    many: bool = False
    everywhere: bool = False
    aligned: bool = False
    label: Literal["", "any", "binary"] = ""
    roles: frozenset[Role] | None = None
    only_with: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds that the port takes."""
        return (self.kind, *self.alternatives)

    def accepts(self, kind: str) -> bool:
        """Return whether an artifact of this kind fits."""
        return any(kind == known or kind.endswith(f".{known}") for known in self.kinds)

    def may_accept(self, kind: str) -> bool:
        """Return whether an output fits, or may: ``model`` may turn out to be ``x.model``."""
        return self.accepts(kind) or any(known.endswith(f".{kind}") for known in self.kinds)


@dataclass(frozen=True)
class Schema:
    """A component seen from a job: names, kinds and the parameter class, but none of its code."""

    name: str
    version: str
    parameters: type[BaseModel]
    inputs: Mapping[str, Port] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    roles: Participants = field(default_factory=lambda: VERTICAL)
    edges: Callable[[Any], Edges] = lambda parameters: ALL

    @property
    def party_local(self) -> frozenset[str]:
        """The parameters that may differ from party to party."""
        return party_local(self.parameters)


def party_local(parameters: type[BaseModel]) -> frozenset[str]:
    """Return the parameters marked as a party's own: nothing that is sent depends on them."""
    return frozenset(
        name
        for name, info in parameters.model_fields.items()
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("party") is True
    )


Schemas = Mapping[str, Schema]


@dataclass(frozen=True)
class Refusal:
    """Why a component that someone may name is not in a catalogue: an error code and its text."""

    code: str
    message: str
    hint: str | None = None


class KnownSchemas(dict[str, Schema]):
    """Schemas by component, and why others are ``refused``."""

    def __init__(self, known: Schemas, refused: Mapping[str, Refusal] | None = None) -> None:
        super().__init__(known)
        self.refused = dict(refused or {})
