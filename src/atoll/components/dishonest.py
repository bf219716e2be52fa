"""What a party that lies in a step gains by it, declared beside the step's other terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Cheat:
    """One thing that a party gains, or does to others, by lying within well-formed messages.

    ``by`` is its role (or ``any``), ``effect`` what becomes of it: it learns more than an honest
    one, changes the others' result, or stops the step. ``shows`` states how the others can see it,
    ``bound`` what limits it by number, ``withstands`` which mode or setting takes it away.
    """

    by: str
    effect: Literal["learn", "change", "stop"]
    what: str
    shows: str
    bound: str
    withstands: str

    def line(self) -> str:
        """Return it as a row of the page's tables."""
        done = f"**{self.effect}** {self.what}"
        return f"| {' | '.join((self.by, done, self.shows, self.bound, self.withstands))} |"
