"""The aggregator's steps of the masked sum: it passes keys and shares on, adds, and unmasks.

It learns the sum of the survivors' vectors and who they are. Source: as ``client``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from atoll.core.errors import PeerError
from atoll.crypto import shamir
from atoll.operators.secure_sum.masked import masks
from atoll.operators.secure_sum.masked.client import agreed, pair_seed
from atoll.operators.secure_sum.masked.messages import (
    Consent,
    Consents,
    Keys,
    Opened,
    Roster,
    Sealed,
    Shares,
    Survivors,
)
from atoll.operators.secure_sum.masked.setting import Setting

# Any key does: an exchange with a key of small order fails.
_PROBE = X25519PrivateKey.from_private_bytes(bytes(31) + b"\1")


class Aggregator:
    """The aggregator's state over one sum; clients may be missing from each step on."""

    def __init__(self, setting: Setting) -> None:
        setting.check()
        self._setting = setting
        self._keys: dict[str, Keys] = {}
        self._holders: dict[str, list[str]] = {}
        self._shares: dict[str, Mapping[str, bytes]] = {}
        self._survivors: tuple[str, ...] = ()

    def roster(self, keys: Mapping[str, Keys]) -> Roster:
        """Return what each client is sent.

        Keys are checked here, too: some of a sparse graph's clients alone would fail by a bad one,
        those that its owner chose. Errors: ATL-SUM-012 too few clients, ATL-SUM-011, ATL-SUM-020.
        """
        self._enough(len(keys))
        for name in sorted(keys):
            chosen = keys[name].chosen
            if not self._setting.chose_well(name, chosen):
                raise PeerError(
                    "ATL-SUM-020", "a client chose otherwise than the plan says", party=name
                )
            if keys[name].sealing == keys[name].masking:
                raise PeerError("ATL-SUM-011", "a client's two keys are one", party=name)
            for key in (keys[name].sealing, keys[name].masking):
                agreed(_PROBE, key, name)
            self._keys[name] = keys[name]
            self._holders[name] = self._setting.holders(chosen)
        joined = tuple(k.sealing + k.masking + k.signature for k in self._keys.values())
        return Roster(tuple(self._keys), joined, tuple(k.chosen for k in self._keys.values()))

    def passed_on(self, shares: Mapping[str, Shares]) -> dict[str, Sealed]:
        """Return for each client what others sealed for it. Errors: ATL-SUM-012, ATL-SUM-017."""
        self._enough(len(shares))
        for name, own in shares.items():
            held = [h for h in self._holders[name] if h in self._keys and h != name]
            if list(own.names) != held or len(own.names) != len(own.sealed):
                raise PeerError("ATL-SUM-017", "a client sealed shares for others", party=name)
            self._shares[name] = dict(zip(own.names, own.sealed, strict=True))
        here = tuple(sorted(shares))
        received: dict[str, list[str]] = {name: [] for name in here}
        for owner in here:
            for holder in self._shares[owner].keys() & received.keys():
                received[holder].append(owner)
        return {
            name: Sealed(
                tuple(received[name]), tuple(self._shares[o][name] for o in received[name]), here
            )
            for name in here
        }

    def survivors(self, masked: Mapping[str, bytes]) -> Survivors:
        """Return whose vectors the sum is of, from their signatures with these.

        Errors: ATL-SUM-012 too few, or too few holders of one of them.
        """
        names = tuple(sorted(masked.keys() & self._shares.keys()))
        self._enough(len(names))
        if not self._setting.held({name: self._keys[name].chosen for name in names}, names):
            raise _too_few("too many of those left whom one client chose")
        self._survivors = names
        return Survivors(names, tuple(masked[name] for name in names))

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
        given = {
            holder: dict(zip(answer.names, answer.shares, strict=False))
            for holder, answer in opened.items()
        }
        masks.add(total, self._masks(given))

    def _masks(self, given: Mapping[str, Mapping[str, bytes]]) -> Iterator[masks.Mask]:
        setting, alive = self._setting, set(self._survivors)
        for name in self._survivors:
            secret = self._joined(name, given)
            yield masks.Mask(masks.seed(setting.session, "own", secret, name), negative=True)
        for name in sorted(self._shares.keys() - alive):
            neighbours = self._neighbours(name)
            if not neighbours:
                continue
            private = X25519PrivateKey.from_private_bytes(self._joined(name, given))
            if private.public_key().public_bytes_raw() != self._keys[name].masking:
                raise PeerError("ATL-SHR-002", "shares do not belong to one secret")
            for peer in neighbours:
                seed = pair_seed(setting, private, self._keys[peer].masking, name, peer)
                # What the survivor added for this pair is taken off again.
                yield masks.Mask(seed, negative=peer < name)

    def _neighbours(self, name: str) -> list[str]:
        """Return the survivors who added a mask with this client."""
        if not self._setting.graph.sparse:
            return list(self._survivors)
        own = self._shares[name]
        return [peer for peer in self._survivors if peer in own or name in self._shares[peer]]

    def _joined(self, name: str, given: Mapping[str, Mapping[str, bytes]]) -> bytes:
        shares = {
            point: given[holder][name]
            for point, holder in enumerate(self._holders[name], 1)
            if name in given.get(holder, {})
        }
        return shamir.join(shares, self._setting.graph.shares)

    def _enough(self, number: int) -> None:
        if number < self._setting.threshold:
            raise _too_few(f"{self._setting.threshold} of {len(self._setting.clients)} must stay")


def _too_few(hint: str) -> PeerError:
    return PeerError("ATL-SUM-012", "too few clients are left for this sum", hint=hint)
