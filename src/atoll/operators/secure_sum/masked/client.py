"""A client's steps of the masked sum: no channel, no clock, randomness handed in.

Source: Bonawitz et al., "Practical Secure Aggregation" (CCS 2017), figure 4 with the steps of the
active variant. Each step may be taken once; a client gives a share of a peer's own mask or of its
masking key, never both, and only for survivors that enough clients signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from atoll.core.codec import encode
from atoll.core.errors import PeerError
from atoll.core.random import SecretRandom
from atoll.crypto import shamir
from atoll.operators.secure_sum.identities import Identities
from atoll.operators.secure_sum.masked import masks
from atoll.operators.secure_sum.masked.messages import (
    Consent,
    Consents,
    Keys,
    Opened,
    Roster,
    Shares,
    Survivors,
)


@dataclass(frozen=True)
class Setting:
    """What all hold before a sum: its session, its clients by name, how many must survive.

    ``threshold`` is above two thirds of the clients, so that no two sets of survivors can both be
    signed by that many (PROTOCOLS 9). Errors of ``check``: ATL-SUM-003.
    """

    session: bytes
    clients: tuple[str, ...]
    threshold: int

    def check(self) -> None:
        """Refuse fewer than three clients, or a wrong threshold. Errors: ATL-SUM-003."""
        number = len(self.clients)
        if number < 3 or not 2 * number // 3 + 1 <= self.threshold <= number:
            raise PeerError(
                "ATL-SUM-003", "a masked sum needs three clients and two thirds of them"
            )

    def point(self, name: str) -> int:
        """Return the point of a client's shares."""
        return self.clients.index(name) + 1

    def bind(self, purpose: str, *parts: object) -> bytes:
        """Return the bytes that a signature or seal covers."""
        return encode(["atoll/secure-sum/v1", purpose, self.session, list(parts)])


class Client:
    """One client's state over one sum.

    Its secrets are in memory alone and each step is taken once, so that no restart and no repeated
    question has it give two answers.
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
        self._peers: dict[str, tuple[bytes, bytes]] = {}
        self._received: Mapping[str, bytes] = {}
        self._shown: tuple[str, ...] | None = None
        self._step = 0

    def keys(self) -> Keys:
        """Return this client's signed public keys. Reveals: nothing."""
        self._next(0)
        sealing, masking = (
            k.public_key().public_bytes_raw() for k in (self._sealing, self._masking)
        )
        bound = self._setting.bind("keys", self._name, sealing, masking)
        return Keys(sealing, masking, self._identities.sign(bound))

    def share(self, roster: Roster) -> Shares:
        """Check all keys, return sealed shares for the others. Errors: ATL-SUM-010, 011."""
        self._next(1)
        self._peers = self._checked(roster)
        setting = self._setting
        holders = len(setting.clients)
        own = shamir.split(self._own_mask, setting.threshold, holders, self._source)
        key = shamir.split(self._masking_bytes, setting.threshold, holders, self._source)
        self._kept = own[setting.point(self._name) - 1]
        sealed = []
        for peer in self._peers:
            at = setting.point(peer) - 1
            box = self._box(peer)
            bound = setting.bind("shares", self._name, peer)
            sealed.append(box.encrypt(bytes(12), own[at] + key[at], bound))
        return Shares(tuple(self._peers), tuple(sealed))

    def mask(self, vector: masks.Ring, received: Shares) -> None:
        """Mask ``vector`` in place, for the sum of those whose shares were received.

        Errors: ATL-SUM-012 too few clients, or shares of others than the roster's.
        """
        self._next(2)
        names = received.names
        alike = len(set(names)) == len(names) == len(received.sealed)
        if not alike or not set(names) <= self._peers.keys():
            raise PeerError(
                "ATL-SUM-012", "shares of others than this sum's clients were passed on"
            )
        if len(names) + 1 < self._setting.threshold:
            raise PeerError("ATL-SUM-012", "too few clients are left for this sum")
        self._received = dict(zip(names, received.sealed, strict=True))
        masks.add(vector, masks.seed(self._setting.session, "own", self._own_mask, self._name))
        for peer in names:
            masks.add(vector, self._pair(peer), negative=peer < self._name)

    def consent(self, survivors: Survivors) -> Consent:
        """Sign the survivors, who are shown once. Errors: ATL-SUM-013."""
        self._next(3)
        names = survivors.names
        known = self._received.keys() | {self._name}
        if (
            list(names) != sorted(set(names))
            or not set(names) <= known
            or self._name not in names
            or len(names) < self._setting.threshold
        ):
            raise PeerError("ATL-SUM-013", "the survivors are too few, or not clients of this sum")
        self._shown = names
        return Consent(self._identities.sign(self._setting.bind("survivors", *names)))

    def open(self, consents: Consents) -> Opened:
        """Return one share of each client, if enough signed the same survivors.

        Reveals: the survivors' sum, with others' shares. Errors: ATL-SUM-014 too few valid
        signatures, ATL-SUM-015 shares that their sender did not seal.
        """
        self._next(4)
        survivors = self._shown or ()
        bound = self._setting.bind("survivors", *survivors)
        signed = {
            name
            for name, signature in zip(consents.names, consents.signatures, strict=False)
            if name in survivors and self._identities.verify(name, bound, signature)
        }
        if len(signed) < self._setting.threshold:
            raise PeerError("ATL-SUM-014", "too few clients signed the same survivors")
        names, shares = [self._name], [self._kept]
        for peer in self._received:
            own, key = self._unsealed(peer)
            names.append(peer)
            shares.append(own if peer in survivors else key)
        return Opened(tuple(names), tuple(shares))

    def _checked(self, roster: Roster) -> dict[str, tuple[bytes, bytes]]:
        setting, names = self._setting, roster.names
        ordered = list(names) == sorted(set(names)) and len(names) == len(roster.keys)
        if not ordered or not set(names) <= set(setting.clients) or self._name not in names:
            raise PeerError("ATL-SUM-010", "the roster is not of this sum's clients")
        if len(names) < setting.threshold:
            raise PeerError("ATL-SUM-012", "too few clients are left for this sum")
        peers = {}
        for name, entry in zip(names, roster.keys, strict=True):
            sealing, masking, signature = entry[:32], entry[32:64], entry[64:]
            bound = setting.bind("keys", name, sealing, masking)
            if not self._identities.verify(name, bound, signature):
                raise PeerError("ATL-SUM-011", "a client's keys are not signed by it", party=name)
            if name != self._name:
                peers[name] = sealing, masking
        if len({key for pair in peers.values() for key in pair}) < 2 * len(peers):
            raise PeerError("ATL-SUM-011", "two clients have the same key")
        return peers

    def _box(self, peer: str) -> ChaCha20Poly1305:
        shared = self._agreed(self._sealing, self._peers[peer][0], peer)
        # One key for each direction: nonces are zero and each key seals once.
        return ChaCha20Poly1305(masks.seed(self._setting.session, "seal", shared, self._name, peer))

    def _unsealed(self, peer: str) -> tuple[bytes, bytes]:
        shared = self._agreed(self._sealing, self._peers[peer][0], peer)
        box = ChaCha20Poly1305(masks.seed(self._setting.session, "seal", shared, peer, self._name))
        bound = self._setting.bind("shares", peer, self._name)
        try:
            both = box.decrypt(bytes(12), self._received[peer], bound)
        except InvalidTag:
            raise PeerError(
                "ATL-SUM-015", "a share was not sealed by its client", party=peer
            ) from None
        return both[: shamir.SHARE_BYTES], both[shamir.SHARE_BYTES :]

    def _pair(self, peer: str) -> bytes:
        return pair_seed(self._setting, self._masking, self._peers[peer][1], self._name, peer)

    @staticmethod
    def _agreed(own: X25519PrivateKey, key: bytes, peer: str) -> bytes:
        return agreed(own, key, peer)

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
