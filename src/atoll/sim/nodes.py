"""Real nodes in this process, for a while: keys, database, gateway, job machine and API of each.

    with nodes(folder, ("bank", "shop")) as made:
        made["bank"].services.jobs.submit(…)

They trust each other, listen on loopback alone and lie in folders that the caller removes. All of
them belong to whoever opened them; so its own files are looked at in this process, and parts for
simulation may be used in their workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

from atoll.channel.identity import export_ca, init_party
from atoll.components.api import Catalogue
from atoll.flow.access import Actor
from atoll.flow.node.configuration import load
from atoll.flow.node.data import inspection
from atoll.flow.node.folder import NodeFolder
from atoll.flow.node.node import Node
from atoll.flow.work.pool import Pool, PoolSettings
from atoll.flow.work.threads import Threads

# A library speaks where the program that uses it wants to listen.
logging.getLogger("atoll").addHandler(logging.NullHandler())
# Ports that are free, no wait for what runs when it ends, no second try of what went wrong; and
# in one process a node is not lost because a component holds the interpreter for a while.
_SETTINGS = {
    "gateway.listen": "127.0.0.1:0",
    "http.port": "0",
    "node.drain_seconds": "0",
    "jobs.retries": "0",
    "jobs.peer_seconds": "3600",
    # All parties are one person's: nothing is to be kept from any of them.
    "workers.own_percent": "0",
    "workers.partner_percent": "100",
    "workers.synthetic_percent": "100",
}
_MOST_THREADS = "64"


class LocalNode(Node):
    """A node of this process. ``components`` returns those that live here, if it has such.

    Its workers are then threads of this process: nothing can bring such a component into another.
    """

    def __init__(self, folder: NodeFolder, components: Callable[[], Catalogue] | None) -> None:
        self._components = components
        threads = {} if components is None else {"workers.maximum": _MOST_THREADS}
        super().__init__(folder, load(folder.root, environment={}, flags=_SETTINGS | threads))

    def owner(self) -> Actor:
        """Return the person whose node it is: the administrator of this machine."""
        return self.access.authenticate(self.access.local_token)

    def catalogue(self) -> Catalogue:
        """Return the components that jobs may use here."""
        return super().catalogue() if self._components is None else self._components()

    def _pool(self) -> Pool:
        if self._components is not None:
            # It has all that a node asks of a pool.
            return cast(Pool, Threads(self._components, self.settings.workers.maximum))
        chosen = self.settings.workers
        environment = {
            "ATOLL_INSECURE_SIMULATION": "1",
            "ATOLL_THREADS": str(chosen.threads),
        }
        return Pool(
            PoolSettings(self.folder.run, chosen.warm, chosen.maximum, environment=environment)
        )

    def _make_tables(self) -> None:
        super()._make_tables()
        self.data.ask = inspection.here


@contextmanager
def nodes(
    root: Path, parties: Sequence[str], components: Callable[[], Catalogue] | None = None
) -> Iterator[dict[str, LocalNode]]:
    """Make and start a node of each party below ``root``; stop them in the end.

    Errors: those of ``Node``.
    """
    with ExitStack() as stack:

        def start(party: str) -> LocalNode:
            folder = NodeFolder(root / party)
            init_party(folder.root, party)
            folder.make()
            with ExitStack() as own:
                own.enter_context(folder.locked())
                node = own.enter_context(LocalNode(folder, components))
                node.start()
                stack.push(own.pop_all())
            return node

        with ThreadPoolExecutor() as pool:
            made = dict(zip(parties, pool.map(start, parties), strict=True))
        for party, node in made.items():
            for other, partner in made.items():
                if other != party:
                    authority = export_ca(partner.folder.root).decode()
                    node.parties.add(other, authority, partner.gateway.address, node.owner())
        yield made
