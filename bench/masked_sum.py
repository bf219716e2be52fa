"""The masked sum of 20 clients over a million values, whole and with drop-outs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from atoll.core.random import SecretRandom
from atoll.operators.secure_sum.fixed_point import FixedPoint
from atoll.operators.secure_sum.masked.aggregator import Aggregator
from atoll.operators.secure_sum.masked.client import Client, Setting
from bench.histogram import timed

CLIENTS, VALUES, GONE = 20, 1_000_000, 6


class Keys:
    """Ed25519 identities of all clients; each signs as one."""

    def __init__(self, name: str, keys: dict[str, Ed25519PrivateKey]) -> None:
        self._own = keys[name]
        self._public: dict[str, Ed25519PublicKey] = {n: k.public_key() for n, k in keys.items()}

    def sign(self, data: bytes) -> bytes:
        """Sign as this client."""
        return self._own.sign(data)

    def verify(self, name: str, data: bytes, signature: bytes) -> bool:
        """Return True; raises for a signature that is not of ``name``."""
        self._public[name].verify(signature, data)
        return True


def masked_sum() -> Iterator[dict[str, Any]]:
    """Yield horizontal.secure_sum without and with 30 % of the clients gone before they send."""
    for gone in (0, GONE):
        params = {"clients": CLIENTS, "values": VALUES, "gone": gone}
        _, seconds = timed(partial(_play, gone))
        yield {"name": "horizontal.secure_sum", "params": params, **seconds}


def _play(gone: int) -> None:
    names = tuple(f"c{i:02}" for i in range(CLIENTS))
    identities = {name: Ed25519PrivateKey.generate() for name in names}
    setting = Setting(bytes(32), names, 2 * CLIENTS // 3 + 1)
    clients = {n: Client(setting, n, Keys(n, identities), SecretRandom()) for n in names}
    aggregator, form = Aggregator(setting), FixedPoint(8, CLIENTS)
    values = np.random.default_rng(0).uniform(-1, 1, VALUES).astype(np.float32)
    roster = aggregator.roster({name: client.keys() for name, client in clients.items()})
    shares = aggregator.passed_on({name: c.share(roster) for name, c in clients.items()})
    sum_, here = np.zeros(VALUES, form.dtype), names[gone:]
    for name in here:
        vector = form.encode(values)
        clients[name].mask(vector, shares[name])
        sum_ += vector
    survivors = aggregator.survivors(set(here))
    consents = aggregator.consents({name: clients[name].consent(survivors) for name in here})
    opened = {name: clients[name].open(consents) for name in here}
    aggregator.unmask(sum_, opened)
    if np.abs(form.decode(sum_) - len(here) * values).max() > CLIENTS / form.scale:
        raise RuntimeError("a masked sum is not the sum")
