"""What an implementation is chosen by: the same at all parties, since each chooses alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from atoll.core.names import Role


@dataclass(frozen=True)
class Link:
    """The slowest link between two parties: ``seconds`` there and back, ``rate`` in bytes/s.

    What is not agreed on in a job stands for a private line between two sites.
    """

    seconds: float = 0.02
    rate: float = 12.5e6


@dataclass(frozen=True)
class Setting:
    """Seats with their roles, the most rows of each (0: not known), link, and what must hold.

    ``security`` is the model in which the result must be safe.
    """

    roles: Mapping[str, Role]
    rows: Mapping[str, int] = field(default_factory=dict)
    link: Link = field(default_factory=Link)
    security: Literal["semi-honest"] = "semi-honest"
