"""A client's condition (battery, link, storage, compute), and who may take part by it.

What a client reports of its condition is shown to the aggregator; a client that judges itself by
the rules that it was sent shows only that it takes part.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Link = Literal["none", "3g", "4g", "5g", "wifi", "wired"]

# From the poorest on; bytes a second towards the client and back, as simulations take them:
# middling figures of public speed tests, not of any one network.
LINKS: dict[Link, tuple[float, float]] = {
    "none": (0.0, 0.0),
    "3g": (0.4e6, 0.15e6),
    "4g": (4e6, 1.2e6),
    "5g": (20e6, 3e6),
    "wifi": (12e6, 5e6),
    "wired": (60e6, 30e6),
}
_ORDER = {link: place for place, link in enumerate(LINKS)}


class Condition(BaseModel):
    """A client's machine now; None where it is not known. Reading one from outside checks it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    battery: float | None = Field(default=None, ge=0, le=1, description="charge, 1 is full")
    charging: bool | None = Field(default=None, description="whether it is on mains power")
    link: Link | None = Field(default=None, description="kind of network")
    storage: int | None = Field(default=None, ge=0, le=1 << 60, description="free bytes on disk")
    memory: int | None = Field(default=None, ge=0, le=1 << 60, description="free bytes of memory")
    cores: int | None = Field(default=None, ge=0, le=1 << 16, description="processor cores")


class Eligibility(BaseModel):
    """Who may take part in a round. Each rule looks at one part of a condition.

    A part that is not known passes, unless ``strict``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    battery: float = Field(default=0.0, ge=0, le=1, description="least charge when not charging")
    charging: bool = Field(default=False, description="whether mains power is needed")
    link: Link = Field(default="none", description="poorest kind of network that will do")
    storage: int = Field(default=0, ge=0, le=1 << 60, description="least free bytes on disk")
    memory: int = Field(default=0, ge=0, le=1 << 60, description="least free bytes of memory")
    cores: int = Field(default=0, ge=0, le=1 << 16, description="least processor cores")
    strict: bool = Field(default=False, description="whether what is not known is not enough")

    def lacks(self, condition: Condition) -> list[str]:
        """Return the names of the rules that a condition does not meet, none if it may take part.

        The battery does not matter while it charges.
        """
        met: dict[str, bool | None] = {
            "battery": _least(condition.battery, self.battery) or condition.charging,
            "charging": condition.charging if self.charging else True,
            "link": condition.link and _ORDER[condition.link] >= _ORDER[self.link],
            "storage": _least(condition.storage, self.storage),
            "memory": _least(condition.memory, self.memory),
            "cores": _least(condition.cores, self.cores),
        }
        known = condition.model_dump()
        needed = self.model_dump()
        return [
            name
            for name, passes in met.items()
            if needed[name] not in (0, False, "none")
            and not passes
            and (self.strict or known[name] is not None)
        ]

    def permits(self, condition: Condition) -> bool:
        """Return whether a client in this condition may take part."""
        return not self.lacks(condition)


def _least(value: float | None, least: float) -> bool | None:
    return None if value is None else value >= least
