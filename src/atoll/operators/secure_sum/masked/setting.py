"""What all hold before a masked sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atoll.core.codec import encode
from atoll.core.errors import PeerError
from atoll.operators.secure_sum.masked.graph import Graph
from atoll.operators.secure_sum.masked.messages import MOST_CLIENTS

Chosen = Mapping[str, bytes]


@dataclass(frozen=True)
class Setting:
    """The session, the clients by name, how many must stay, and who shares masks with whom.

    ``threshold`` is above two thirds of the clients, so that no two sets of survivors can both be
    signed by that many (PROTOCOLS 9). Errors of ``check``: ATL-SUM-003.
    """

    session: bytes
    clients: tuple[str, ...]
    threshold: int
    graph: Graph

    def check(self) -> None:
        """Refuse fewer than three clients, or a wrong threshold. Errors: ATL-SUM-003."""
        number = len(self.clients)
        if not 3 <= number <= MOST_CLIENTS or not 2 * number // 3 < self.threshold <= number:
            raise PeerError(
                "ATL-SUM-003", "a masked sum needs three clients and two thirds of them"
            )

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Each client's number, from 0."""
        return {name: number for number, name in enumerate(self.clients)}

    def holders(self, chosen: bytes) -> list[str]:
        """Return who holds shares of the client that chose so, by their points from 1 on."""
        if not self.graph.sparse:
            return list(self.clients)
        return [self.clients[number] for number in numbers_of(chosen)]

    def chose_well(self, name: str, chosen: bytes) -> bool:
        """Return whether ``chosen`` is a choice that a client of this name may make."""
        numbers = numbers_of(chosen).astype(np.int64) if len(chosen) % 2 == 0 else None
        if numbers is None or len(numbers) != self.graph.chosen:
            return False
        ascending = bool((np.diff(numbers) > 0).all())
        inside = not len(numbers) or numbers[-1] < len(self.clients)
        return ascending and inside and self.numbers[name] not in numbers

    def held(self, chosen: Chosen, survivors: Sequence[str]) -> bool:
        """Return whether enough holders of each survivor are survivors, too."""
        if not self.graph.sparse:
            return len(survivors) >= self.threshold
        alive = np.zeros(len(self.clients), dtype=np.int64)
        alive[[self.numbers[name] for name in survivors]] = 1
        table = np.stack([numbers_of(chosen[name]) for name in survivors])
        return bool((alive[table].sum(axis=1) >= self.graph.shares).all())

    def bind(self, purpose: str, *parts: object) -> bytes:
        """Return the bytes that a signature or seal covers."""
        return encode(["atoll/secure-sum/v1", purpose, self.session, list(parts)])


def numbers_of(chosen: bytes) -> npt.NDArray[np.uint16]:
    """Return clients' numbers, uint16[n], from their bytes."""
    return np.frombuffer(chosen, dtype="<u2")
