"""All clients and the aggregator of one masked sum, played step by step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from atoll.core.random import SecretRandom
from atoll.operators.secure_sum.masked import masks
from atoll.operators.secure_sum.masked.aggregator import Aggregator
from atoll.operators.secure_sum.masked.client import Client
from atoll.operators.secure_sum.masked.graph import Graph
from atoll.operators.secure_sum.masked.messages import Roster, Sealed
from atoll.operators.secure_sum.masked.setting import Setting

SECRETS = SecretRandom()


class Signers:
    """Signatures by a hash with the signer's name: enough where no test forges one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def sign(self, data: bytes) -> bytes:
        return hashlib.sha512(self._name.encode() + b"\0" + data).digest()

    def verify(self, name: str, data: bytes, signature: bytes) -> bool:
        return Signers(name).sign(data) == signature


class Play:
    """All clients and the aggregator of one sum; who is gone from which step on."""

    def __init__(
        self, number: int, length: int, bits: int = 32, graph: Graph | None = None
    ) -> None:
        self.names = tuple(f"c{i:03}" for i in range(number))
        least = 2 * number // 3 + 1
        self.setting = Setting(b"s" * 32, self.names, least, graph or Graph(0, least))
        self.clients = {n: Client(self.setting, n, Signers(n), SECRETS) for n in self.names}
        self.aggregator = Aggregator(self.setting)
        generator = np.random.default_rng(number)
        kind = np.dtype(f"<u{bits // 8}")
        top = (1 << bits) - 1
        self.vectors = {
            n: generator.integers(0, top, length, dtype=np.uint64, endpoint=True).astype(kind)
            for n in self.names
        }
        self.masked = {n: v.copy() for n, v in self.vectors.items()}
        self.views: dict[str, bytes] = {}

    def roster(self, here: Iterable[str] | None = None) -> Roster:
        """Return the roster of those who send keys."""
        return self.aggregator.roster(
            {n: self.clients[n].keys() for n in (self.names if here is None else here)}
        )

    def mask(self, name: str, sealed: Sealed) -> None:
        """Mask a client's vector."""
        own, self.views[name] = self.clients[name].masks(sealed)
        masks.add(self.masked[name], own)

    def to_masks(self, gone: Iterable[str] = (), unmasked: Iterable[str] = ()) -> list[str]:
        """Play until vectors are masked; return who sent one."""
        here = [n for n in self.names if n not in set(gone)]
        roster = self.roster(here)
        received = self.aggregator.passed_on({n: self.clients[n].share(roster) for n in here})
        sent = [n for n in here if n not in set(unmasked)]
        for name in sent:
            self.mask(name, received[name])
        return sent

    def total(self, sent: list[str], silent: Iterable[str] = ()) -> np.ndarray:
        """Play on to the sum; ``silent`` do not answer any more."""
        survivors = self.aggregator.survivors({n: self.views[n] for n in sent})
        answering = [n for n in sent if n not in set(silent)]
        consents = self.aggregator.consents(
            {n: self.clients[n].consent(survivors) for n in answering}
        )
        opened = {n: self.clients[n].open(consents) for n in answering}
        total = sum((self.masked[n] for n in sent), np.zeros_like(self.masked[sent[0]]))
        self.aggregator.unmask(total, opened)
        return total
