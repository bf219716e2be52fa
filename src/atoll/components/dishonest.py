"""What a party that lies in a step gains by it, declared beside the step's other terms.

``python -m atoll.components.dishonest`` prints the tables of the catalogue's components, which
stand in ``docs/security/dishonest-partner.md``; a test compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from atoll.components.api import Catalogue, Component

HEAD = (
    "| who lies | can | how it shows | what bounds it | what withstands it |\n|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Cheat:
    """One thing that a party gains, or does to others, by lying within well-formed messages.

    ``by`` is its role (or ``any``), ``effect`` what becomes of it: it learns more than an honest
    one, changes the others' result, or stops the step. ``shows`` states how the others can tell,
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


def section(component: Component) -> str:
    """Return the page's section of a component in which messages are exchanged."""
    lines = (cheat.line() for cheat in component.dishonest)
    return "\n".join([f"### {component.name}", "", HEAD, *lines]) + "\n"


def sections(catalogue: Catalogue) -> Iterator[str]:
    """Give the sections of all components, and name those in which nothing is exchanged."""
    for component in catalogue.values():
        if component.dishonest:
            yield section(component)
    silent = [f"`{name}`" for name, component in catalogue.items() if not component.dishonest]
    yield (
        f"No message is exchanged in {', '.join(silent[:-1])} and {silent[-1]}: there is nothing "
        "to lie in. What a party feeds them changes its own part alone.\n"
    )


if __name__ == "__main__":
    from atoll.components.catalogue import CATALOGUE

    sys.stdout.write("\n".join(sections(CATALOGUE)))
