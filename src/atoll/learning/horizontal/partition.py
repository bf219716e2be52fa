"""Ways to share rows out among clients, for simulations and tests.

Each returns the rows' numbers of every client: together all rows, none twice. Tasks that draw each
client's rows on demand are in ``synthetic``. Sources: Hsu, Qi, Brown 2019 (Dirichlet); McMahan et
al. 2017 (shards).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError

Rows = npt.NDArray[np.int64]
Parts = list[Rows]


def iid(rows: int, clients: int, generator: np.random.Generator) -> Parts:
    """Share ``rows`` out at random, equally up to one row."""
    return np.array_split(generator.permutation(rows), _some(clients))


def dirichlet(
    labels: npt.NDArray[np.generic], clients: int, alpha: float, generator: np.random.Generator
) -> Parts:
    """Give clients shares of each class, drawn from Dirichlet(alpha): the smaller, the fewer."""
    if alpha <= 0:
        raise UserError("ATL-HOR-040", "alpha of a Dirichlet partition must be above 0")
    parts: list[list[Rows]] = [[] for _ in range(_some(clients))]
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        shares = generator.dirichlet(np.full(clients, alpha))
        ends = np.round(np.cumsum(shares)[:-1] * len(rows)).astype(np.int64)
        for part, piece in zip(parts, np.split(rows, ends), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)) if part else np.arange(0) for part in parts]


def shards(
    labels: npt.NDArray[np.generic], clients: int, each: int, generator: np.random.Generator
) -> Parts:
    """Sort rows by label, cut them into clients × each pieces, give ``each`` to every client."""
    pieces = np.array_split(np.argsort(labels, kind="stable"), _some(clients) * each)
    order = generator.permutation(len(pieces)).reshape(clients, each)
    return [np.sort(np.concatenate([pieces[i] for i in row])) for row in order]


def quantity(rows: int, clients: int, alpha: float, generator: np.random.Generator) -> Parts:
    """Share rows out at random in sizes drawn from Dirichlet(alpha)."""
    if alpha <= 0:
        raise UserError("ATL-HOR-040", "alpha of a Dirichlet partition must be above 0")
    shares = generator.dirichlet(np.full(_some(clients), alpha))
    ends = np.round(np.cumsum(shares)[:-1] * rows).astype(np.int64)
    return np.split(generator.permutation(rows), ends)


def natural(owners: npt.NDArray[np.generic]) -> Parts:
    """Give each distinct value of ``owners`` its rows, in the order of the values."""
    _, numbers = np.unique(owners, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.cumsum(np.bincount(numbers))[:-1])


def _some(clients: int) -> int:
    if clients < 1:
        raise UserError("ATL-HOR-041", "rows need at least one client")
    return clients
