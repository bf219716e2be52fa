"""The masked sum of 20 clients over a million values, whole and with drop-outs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from atoll.core.random import SecretRandom
from atoll.operators.secure_sum.api import SumParameters
from atoll.operators.secure_sum.masked.aggregator import Aggregator
from atoll.operators.secure_sum.masked.client import Client
from atoll.operators.secure_sum.masked.messages import Masked
from atoll.operators.secure_sum.masked.party import added, pieces
from atoll.operators.secure_sum.masked.setting import Setting
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
    parameters = SumParameters(size=VALUES, bound=8)
    graph, form = parameters.graph_of(CLIENTS), parameters.form(CLIENTS)
    setting = Setting(bytes(32), names, parameters.threshold(CLIENTS), graph)
    clients = {n: Client(setting, n, Keys(n, identities), SecretRandom()) for n in names}
    aggregator = Aggregator(setting)
    values = np.random.default_rng(0).uniform(-1, 1, VALUES).astype(np.float32)
    roster = aggregator.roster({name: client.keys() for name, client in clients.items()})
    sealed = aggregator.passed_on({name: c.share(roster) for name, c in clients.items()})
    sum_, staged = np.zeros(VALUES, form.dtype), np.empty(VALUES, form.dtype)
    views: dict[str, bytes] = {}
    for name in names[gone:]:
        own, view = clients[name].masks(sealed[name])
        for piece in pieces(values, form, own, view):
            views |= _received(piece, name, staged)
        added(sum_, staged)
    survivors = aggregator.survivors(views)
    consents = aggregator.consents({name: clients[name].consent(survivors) for name in views})
    aggregator.unmask(sum_, {name: clients[name].open(consents) for name in views})
    if np.abs(form.decode(sum_) - len(views) * values).max() > CLIENTS / form.scale:
        raise RuntimeError("a masked sum is not the sum")


def _received(piece: Masked, name: str, staged: np.ndarray) -> dict[str, bytes]:
    """Write a piece where it belongs; return the client's signature with the last one."""
    staged.view(np.uint8)[piece.first : piece.first + len(piece.words)] = piece.words
    return {name: piece.view} if piece.view else {}
