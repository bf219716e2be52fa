"""Who shares a mask with whom: all with all, or a sparse graph that the clients draw themselves.

In the sparse graph each client chooses ``chosen`` others of the plan's clients uniformly by its own
secret randomness and signs the choice with its keys; no one else can steer it. A mask is shared
along each edge, a client's secrets with those whom it chose, ``shares`` of whom open one. Every
client sees the whole signed graph, and gives shares only for survivors of whom each has ``shares``
chosen ones among them.

For at most ``corrupt`` · clients that work together with the aggregator, fixed before the choices,
the following holds but for 2^-bits, over the honest clients' choices:

1. None chose more than ``most`` corrupt ones, and 2 · shares > chosen + most. So of no client can
   both secrets be opened, whatever honest clients are shown: each gives one share of the two.
2. In no set of at most half of the honest clients does each member have ``shares`` of its choices
   in the set or corrupt. So the honest survivors hang together by masks that no one else knows (of
   two parts without an edge the smaller would be such a set, whoever is declared to have left),
   and only the sum over all of them can be read.

For 2 all such sets are counted; the choices of different members are independent. Source: after
Bell et al., "Secure Single-Server Aggregation with (Poly)Logarithmic Overhead" (CCS 2020), whose
variant against an aggregator that lies has clients choose their neighbours. There survivors are
signed along edges and parts of the clients may be opened alone; here all clients sign one list of
survivors, which permits no parts, and the bound is worked out for that. Tails: Hoeffding 1963,
theorems 1 and 4.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

SECURITY_BITS = 40
# A sum that too many leave by chance ends and is done once more: a matter of time alone.
CORRECTNESS_BITS = 20


@dataclass(frozen=True)
class Graph:
    """``chosen`` others that each client chooses, ``shares`` of them that open a secret.

    ``chosen`` 0 is the complete graph, in which ``shares`` is the number that must stay.
    """

    chosen: int
    shares: int

    @property
    def sparse(self) -> bool:
        """Whether clients choose."""
        return self.chosen > 0


@functools.lru_cache(maxsize=64)
def sparse(clients: int, corrupt: float, leave: float) -> Graph | None:
    """Return the sparsest sound graph, or None where none saves half of the masks.

    ``corrupt`` is the share of clients that may work together with the aggregator, ``leave`` the
    share that may leave by chance on the way. A client with k choices has about 2k - k²/clients
    neighbours, so k ends at three tenths of the clients: beyond, all with all costs less than
    twice as much and assumes less.
    """
    # Fewer than a third, as the signatures of the survivors need it.
    bad = min(math.floor(corrupt * clients), (clients - 1) // 3)
    gone = math.ceil(leave * clients)
    for chosen in range(2, 3 * clients // 10):
        most = _least(clients - 1, bad, chosen, SECURITY_BITS + 1 + math.log2(clients))
        lost = _least(clients - 1, gone, chosen, CORRECTNESS_BITS + math.log2(clients))
        shares = chosen - lost
        if 2 * shares > chosen + most and _holds_together(clients, bad, chosen, shares):
            return Graph(chosen, shares)
    return None


def _least(others: int, marked: int, drawn: int, bits: float) -> int:
    """Return the least x that more than x marked ones among the drawn exceed 2^-bits rarely.

    ``drawn`` of ``others`` are drawn without replacement; ``marked`` of these are marked.
    """
    logs = _log_factorials(others)
    x = np.arange(max(0, drawn - (others - marked)), min(marked, drawn) + 1)
    terms = (
        _log_choose(logs, marked, x)
        + _log_choose(logs, others - marked, drawn - x)
        - _log_choose(logs, others, np.asarray(drawn))
    )
    above = np.cumsum(np.exp(terms)[::-1])[::-1]
    # above[i] is the probability of x[i] marked ones or more.
    rare = np.flatnonzero(above <= 2.0**-bits)
    return int(x[rare[0]] - 1) if len(rare) else int(x[-1])


def _holds_together(clients: int, bad: int, chosen: int, shares: int) -> bool:
    """Return whether no set of up to half of the honest has ``shares`` choices in it or corrupt."""
    honest = clients - bad
    sizes = np.arange(2, honest // 2 + 1)
    mean = (sizes - 1 + bad) / (clients - 1)
    share = shares / chosen
    if share <= mean[-1]:
        return False
    # A member's tail by Hoeffding: exp(-chosen · D(share, mean)); all of a set's members at once.
    divergence = share * np.log(share / mean)
    if share < 1:
        divergence += (1 - share) * np.log((1 - share) / (1 - mean))
    logs = _log_factorials(honest)
    total = _log_choose(logs, honest, sizes) - sizes * chosen * divergence
    most = -(SECURITY_BITS + 1) * math.log(2)
    return bool(total.max() < most and np.exp(total).sum() <= math.exp(most))


@functools.lru_cache(maxsize=8)
def _log_factorials(most: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])


def _log_choose(logs: np.ndarray, of: int, count: np.ndarray) -> np.ndarray:
    return np.asarray(logs[of] - logs[count] - logs[of - count])
