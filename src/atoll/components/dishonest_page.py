"""The tables of what lying buys: ``python -m atoll.components.dishonest_page``.

They stand in ``docs/security/dishonest-partner.md``; a test compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from atoll.components.api import Catalogue, Component
from atoll.components.catalogue import CATALOGUE

HEAD = (
    "| who lies | can | how it shows | what bounds it | what withstands it |\n|---|---|---|---|---|"
)


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
    sys.stdout.write("\n".join(sections(CATALOGUE)))
