"""What ``jobs`` knows of a component: its ports, its parameters' schema and who may take part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from atoll.core.names import Role


@dataclass(frozen=True)
class Port:
    """An input of a component: the kind of artifact that it takes, and whether it must be there."""

    kind: str
    optional: bool = False


@dataclass(frozen=True)
class Schema:
    """A component seen from a job: names, kinds and the parameter class, but none of its code."""

    name: str
    version: str
    parameters: type[BaseModel]
    inputs: Mapping[str, Port] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    roles: frozenset[Role] = frozenset({Role.GUEST, Role.HOST})


Schemas = Mapping[str, Schema]
