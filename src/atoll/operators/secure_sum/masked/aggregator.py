"""The aggregator's steps of the masked sum: it passes keys and shares on, adds, and unmasks.

It learns the sum of the survivors' vectors and who they are. Source: as ``client``.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from atoll.core.errors import PeerError
from atoll.crypto import shamir
from atoll.operators.secure_sum.masked import masks
from atoll.operators.secure_sum.masked.client import Setting, pair_seed
from atoll.operators.secure_sum.masked.messages import (
    Consent,
    Consents,
    Keys,
    Opened,
    Roster,
    Shares,
    Survivors,
)


class Aggregator:
    """The aggregator's state over one sum; clients may be missing from each step on."""

    def __init__(self, setting: Setting) -> None:
        setting.check()
        self._setting = setting
        self._keys: dict[str, Keys] = {}
        self._shares: dict[str, Mapping[str, bytes]] = {}
        self._survivors: tuple[str, ...] = ()

    def roster(self, keys: Mapping[str, Keys]) -> Roster:
        """Return what each client is sent. Errors: ATL-SUM-012 too few clients."""
        self._keys = dict(sorted(keys.items()))
        self._enough(len(keys))
        joined = tuple(k.sealing + k.masking + k.signature for k in self._keys.values())
        return Roster(tuple(self._keys), joined)

    def passed_on(self, shares: Mapping[str, Shares]) -> dict[str, Shares]:
        """Return for each client what the others sealed for it. Errors: ATL-SUM-012, 017."""
        self._enough(len(shares))
        for name, own in shares.items():
            if set(own.names) != self._keys.keys() - {name} or len(own.names) != len(own.sealed):
                raise PeerError("ATL-SUM-017", "a client sealed shares for others", party=name)
            self._shares[name] = dict(zip(own.names, own.sealed, strict=True))
        return {
            name: Shares(
                tuple(peer for peer in sorted(shares) if peer != name),
                tuple(self._shares[peer][name] for peer in sorted(shares) if peer != name),
            )
            for name in shares
        }

    def survivors(self, masked: set[str]) -> Survivors:
        """Return whose vectors the sum is of. Errors: ATL-SUM-012."""
        self._enough(len(masked & self._shares.keys()))
        self._survivors = tuple(sorted(masked & self._shares.keys()))
        return Survivors(self._survivors)

    def consents(self, consents: Mapping[str, Consent]) -> Consents:
        """Return the signatures to pass on. Errors: ATL-SUM-012."""
        self._enough(len(consents))
        names = tuple(sorted(consents))
        return Consents(names, tuple(consents[name].signature for name in names))

    def unmask(self, total: masks.Ring, opened: Mapping[str, Opened]) -> None:
        """Take the masks off ``total``, the sum of the survivors' masked vectors, in place.

        Errors: ATL-SUM-012 too few answers, ATL-SHR-002 shares that do not fit together.
        """
        self._enough(len(opened))
        for name in self._survivors:
            secret = self._joined(name, opened)
            mask = masks.seed(self._setting.session, "own", secret, name)
            masks.add(total, mask, negative=True)
        for name in sorted(self._shares.keys() - set(self._survivors)):
            private = X25519PrivateKey.from_private_bytes(self._joined(name, opened))
            if private.public_key().public_bytes_raw() != self._keys[name].masking:
                raise PeerError("ATL-SHR-002", "shares do not belong to one secret")
            for peer in self._survivors:
                mask = pair_seed(self._setting, private, self._keys[peer].masking, name, peer)
                # What the survivor added for this pair is taken off again.
                masks.add(total, mask, negative=peer < name)

    def _joined(self, name: str, opened: Mapping[str, Opened]) -> bytes:
        shares = {}
        for holder, answer in opened.items():
            given = dict(zip(answer.names, answer.shares, strict=False))
            if name in given:
                shares[self._setting.point(holder)] = given[name]
        return shamir.join(shares, self._setting.threshold)

    def _enough(self, number: int) -> None:
        if number < self._setting.threshold:
            raise PeerError(
                "ATL-SUM-012",
                "too few clients are left for this sum",
                hint=f"{self._setting.threshold} of {len(self._setting.clients)} must stay",
            )
