"""A client's steps of the masked sum: no channel, no clock, randomness handed in.

Source: Bonawitz et al., "Practical Secure Aggregation" (CCS 2017), figure 4 with the steps of the
active variant; sparse graphs as ``graph`` has them. Each step may be taken once; a client gives a
share of a peer's own mask or of its masking key, never both, and only for survivors that enough
clients signed.
"""

from __future__ import annotations

import hashlib

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from atoll.channel.identities import Identities
from atoll.core.codec import encode
from atoll.core.errors import PeerError
from atoll.core.random import SecretRandom
from atoll.crypto import shamir
from atoll.operators.secure_sum.masked import masks
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


class Client:
    """One client's state over one sum.

    Its secrets are in memory alone, each step is taken once, and an attempt that begins again draws
    fresh keys: no restart and no repeated question has it give two answers under the same keys.
    """

    def __init__(
        self, setting: Setting, name: str, identities: Identities, source: SecretRandom
    ) -> None:
        setting.check()
        self._setting, self._name, self._identities = setting, name, identities
        self._source = source
        self._sealing = X25519PrivateKey.from_private_bytes(source.bytes(32))
        self._masking_bytes = source.bytes(32)
        self._masking = X25519PrivateKey.from_private_bytes(self._masking_bytes)
        self._own_mask = source.bytes(32)
        self._own_chosen = self._choice()
        self._keys: dict[str, tuple[bytes, bytes]] = {}
        self._chosen: dict[str, bytes] = {}
        # Whose shares this client holds, and with whom it shares a mask.
        self._owners: set[str] = set()
        self._neighbours: set[str] = set()
        # What opened of what others sealed for it, in the order of names.
        self._received: dict[str, tuple[bytes, bytes]] = {}
        self._sealers: dict[str, bytes] = {}
        self._here: tuple[str, ...] = ()
        self._view = b""
        self._kept: bytes | None = None
        self._shown: dict[str, bytes] = {}
        self._step = 0

    def keys(self) -> Keys:
        """Return this client's signed public keys and choice. Reveals: nothing."""
        self._next(0)
        sealing, masking = (
            k.public_key().public_bytes_raw() for k in (self._sealing, self._masking)
        )
        bound = self._setting.bind("keys", self._name, sealing, masking, self._own_chosen)
        return Keys(sealing, masking, self._own_chosen, self._identities.sign(bound))

    def share(self, roster: Roster) -> Shares:
        """Check all keys, return sealed shares for the holders. Errors: ATL-SUM-010, 011, 020."""
        self._next(1)
        self._read(roster)
        setting = self._setting
        holders = setting.holders(self._own_chosen)
        needed = setting.graph.shares
        if len(self._keys.keys() & set(holders)) < needed:
            raise _too_few()
        own = shamir.split(self._own_mask, needed, len(holders), self._source)
        key = shamir.split(self._masking_bytes, needed, len(holders), self._source)
        names, sealed = [], []
        for holder, first, second in zip(holders, own, key, strict=True):
            if holder == self._name:
                self._kept = first
            elif holder in self._keys:
                bound = setting.bind("shares", self._name, holder)
                names.append(holder)
                sealed.append(self._box(holder).encrypt(bytes(12), first + second, bound))
        return Shares(tuple(names), tuple(sealed))

    def masks(self, sealed: Sealed) -> tuple[list[masks.Mask], bytes]:
        """Return the masks of this client's vector, and its signature of whose they are.

        They are its own and one with each neighbour that sealed shares; the vector under all of
        them is uniform. Errors: ATL-SUM-012 too few clients, or shares of others than the roster's.
        """
        self._next(2)
        here, names = sealed.here, sealed.names
        if (
            list(here) != sorted(set(here))
            or not set(here) <= self._keys.keys()
            or self._name not in here
            or list(names) != [name for name in here if name in self._owners]
            or len(names) != len(sealed.sealed)
        ):
            raise PeerError(
                "ATL-SUM-012", "shares of others than this sum's clients were passed on"
            )
        if len(here) < self._setting.threshold:
            raise _too_few()
        for peer, box in zip(names, sealed.sealed, strict=True):
            opened = self._unsealed(peer, box)
            if opened is not None:
                self._received[peer] = opened
        self._here = here
        self._view = self._setting.bind("view", self._view, *here)
        own = masks.seed(self._setting.session, "own", self._own_mask, self._name)
        found = [masks.Mask(own, negative=False)]
        for peer in here:
            if peer in self._neighbours:
                found.append(masks.Mask(self._pair(peer), negative=peer < self._name))
        return found, self._identities.sign(self._view)

    def consent(self, survivors: Survivors) -> Consent:
        """Sign the survivors, who are shown once, with whose masks this client's vector has.

        Enough of each one's holders must be survivors. Errors: ATL-SUM-013.
        """
        self._next(3)
        names = survivors.names
        if (
            list(names) != sorted(set(names))
            or not set(names) <= set(self._here)
            or self._name not in names
            or len(names) != len(survivors.views)
            or len(names) < self._setting.threshold
            or not self._setting.held(self._chosen, names)
        ):
            raise PeerError("ATL-SUM-013", "the survivors are too few, or not clients of this sum")
        self._shown = dict(zip(names, survivors.views, strict=True))
        return Consent(self._identities.sign(self._final()))

    def open(self, consents: Consents) -> Opened:
        """Return a share of each client that gave this one some, if enough signed the survivors.

        Each survivor must have signed that its masks are with the same clients as this one's: with
        its consent, or with its vector if it left since. Reveals: the survivors' sum, with others'
        shares. Errors: ATL-SUM-014 too few valid signatures, ATL-SUM-019 a survivor whose masks are
        with others.

        A share that did not open is left out, as if this client had left: a failure here would put
        out of later sums whomever a liar seals nonsense for, and their difference is one vector.
        """
        self._next(4)
        survivors = self._shown
        bound = self._final()
        signed = {
            name
            for name, signature in zip(consents.names, consents.signatures, strict=False)
            if name in survivors and self._identities.verify(name, bound, signature)
        }
        if len(signed) < self._setting.threshold:
            raise PeerError("ATL-SUM-014", "too few clients signed the same survivors")
        for name in survivors.keys() - signed:
            if not self._identities.verify(name, self._view, survivors[name]):
                raise PeerError(
                    "ATL-SUM-019", "a survivor's masks are with others than shown", party=name
                )
        names, shares = [], []
        if self._kept is not None:
            names, shares = [self._name], [self._kept]
        for peer, (own, key) in self._received.items():
            names.append(peer)
            shares.append(own if peer in survivors else key)
        return Opened(tuple(names), tuple(shares))

    def _choice(self) -> bytes:
        """Draw the others whom this client chooses, by its own secret randomness."""
        count = self._setting.graph.chosen
        if not count:
            return b""
        own = self._setting.numbers[self._name]
        drawn = self._source.permutation(len(self._setting.clients) - 1)[:count]
        # Numbers from the own one on stand for the next.
        return np.sort(drawn + (drawn >= own)).astype("<u2").tobytes()

    def _read(self, roster: Roster) -> None:
        setting, names = self._setting, roster.names
        ordered = list(names) == sorted(set(names))
        ordered = ordered and len(names) == len(roster.keys) == len(roster.chosen)
        if not ordered or not set(names) <= set(setting.clients) or self._name not in names:
            raise PeerError("ATL-SUM-010", "the roster is not of this sum's clients")
        if len(names) < setting.threshold:
            raise _too_few()
        for name, entry, chosen in zip(names, roster.keys, roster.chosen, strict=True):
            sealing, masking, signature = entry[:32], entry[32:64], entry[64:]
            bound = setting.bind("keys", name, sealing, masking, chosen)
            if not self._identities.verify(name, bound, signature):
                raise PeerError("ATL-SUM-011", "a client's keys are not signed by it", party=name)
            if sealing == masking:
                raise PeerError("ATL-SUM-011", "a client's two keys are one", party=name)
            if not setting.chose_well(name, chosen):
                raise PeerError(
                    "ATL-SUM-020", "a client chose otherwise than the plan says", party=name
                )
            self._keys[name], self._chosen[name] = (sealing, masking), chosen
        if len({key for pair in self._keys.values() for key in pair}) < 2 * len(self._keys):
            raise PeerError("ATL-SUM-011", "two clients have the same key")
        bound = encode([list(names), list(roster.keys), list(roster.chosen)])
        self._view = hashlib.sha256(bound).digest()
        self._meet()

    def _meet(self) -> None:
        others = self._keys.keys() - {self._name}
        if not self._setting.graph.sparse:
            self._owners = self._neighbours = set(others)
            return
        own = self._setting.numbers[self._name].to_bytes(2, "little")
        self._owners = {
            name
            for name in others
            if own in {self._chosen[name][i : i + 2] for i in range(0, len(self._chosen[name]), 2)}
        }
        self._neighbours = self._owners | (
            others & set(self._setting.holders(self._chosen[self._name]))
        )

    def _final(self) -> bytes:
        view = hashlib.sha256(self._view).digest()
        return self._setting.bind("survivors", view, *self._shown)

    def _shared(self, peer: str) -> bytes:
        """Return the secret that shares of this client and ``peer`` are sealed by, agreed once."""
        if peer not in self._sealers:
            self._sealers[peer] = agreed(self._sealing, self._keys[peer][0], peer)
        return self._sealers[peer]

    def _box(self, peer: str) -> ChaCha20Poly1305:
        shared = self._shared(peer)
        # One key for each direction: nonces are zero and each key seals once.
        return ChaCha20Poly1305(masks.seed(self._setting.session, "seal", shared, self._name, peer))

    def _unsealed(self, peer: str, sealed: bytes) -> tuple[bytes, bytes] | None:
        """Return the shares that ``peer`` sealed, None if it did not seal these for this client."""
        shared = self._shared(peer)
        box = ChaCha20Poly1305(masks.seed(self._setting.session, "seal", shared, peer, self._name))
        bound = self._setting.bind("shares", peer, self._name)
        try:
            both = box.decrypt(bytes(12), sealed, bound)
        except InvalidTag:
            return None
        return both[: shamir.SHARE_BYTES], both[shamir.SHARE_BYTES :]

    def _pair(self, peer: str) -> bytes:
        return pair_seed(self._setting, self._masking, self._keys[peer][1], self._name, peer)

    def _next(self, step: int) -> None:
        if self._step != step:
            raise PeerError("ATL-SUM-016", "a step of the sum was asked for twice, or out of turn")
        self._step += 1


def agreed(own: X25519PrivateKey, key: bytes, peer: str) -> bytes:
    """Return the X25519 secret. Errors: ATL-SUM-011 for a key of small order."""
    try:
        return own.exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError:
        raise PeerError("ATL-SUM-011", "a client's key is not valid", party=peer) from None


def pair_seed(setting: Setting, own: X25519PrivateKey, key: bytes, one: str, other: str) -> bytes:
    """Return the seed of two clients' mask; the first by name adds it. Errors: ATL-SUM-011."""
    first, second = sorted((one, other))
    return masks.seed(setting.session, "pair", agreed(own, key, other), first, second)


def _too_few() -> PeerError:
    return PeerError("ATL-SUM-012", "too few clients are left for this sum")
