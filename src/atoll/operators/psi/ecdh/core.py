"""The steps of an ECDH intersection: no channel, no clock, randomness handed in.

Ids become points of curve25519 by RFC 9380 under a tag with the session id; a party's points are
multiplied by its fresh scalar and travel as u-coordinates. Doubly masked they are hashed under the
session id: one half of the hash is the tag that a guest sends, the other the one that a host sends,
so that what a party sent is worth nothing when it is sent back. Each commits to its whole list of
tags before it sees the other's, so that none chooses its tags by those that it gets.

Source: Meadows 1986 (commutative masking), RFC 7748, RFC 9380; the order of steps is that of
PROTOCOLS 4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from atoll.core.codec import encode
from atoll.core.errors import PeerError
from atoll.core.limits import Limits
from atoll.core.names import Role
from atoll.core.random import SecretRandom
from atoll.crypto.dh import DhScalar
from atoll.operators.psi.api import BITMAP_CHUNK, PsiParameters, tag_bytes
from atoll.operators.psi.ecdh.messages import Bitmap, Commitment, Hello, Points, Tags, Verdict
from atoll.operators.psi.ids import OwnIds
from atoll.operators.psi.matching import common, refuse_reflected, refuse_repeated
from atoll.operators.psi.pair import agreement, check_count, check_sets

_SUITE = b"/curve25519_XMD:SHA-512_ELL2_RO_"
_POINT_LABEL, _TAG_LABEL = b"atoll/psi-ecdh/v2/", b"atoll/psi-ecdh-tag/v2/"
# Kept longer than sent, so that accidents among one party's own many ids do not look like repeats.
_HELD_BYTES = 16
_SECRET_BYTES = 32
_HALVES = {Role.GUEST: slice(0, 16), Role.HOST: slice(16, 32)}


class Core:
    """The state of a guest or host over one run. Semi-honest.

    Holds: the own ids, a fresh scalar and two secret orders. Errors: ATL-PSI-003 to 012, those of
    ``crypto`` for points that are not canonical, on the twist or of small order.
    """

    def __init__(
        self,
        role: Role,
        ids: OwnIds,
        parameters: PsiParameters,
        session: bytes,
        secret: SecretRandom,
        limits: Limits,
    ) -> None:
        self._ids = ids
        self._parameters = parameters
        self._session = session
        self._secret = secret
        self._limits = limits
        self._scalar = DhScalar(secret)
        self._domain = _POINT_LABEL + session + _SUITE
        self._tag_label = hashlib.sha256(_TAG_LABEL).digest() + hashlib.sha256(session).digest()
        self._role, self._peer_role = role, Role.HOST if role == Role.GUEST else Role.GUEST
        self.order: npt.NDArray[np.uint32] = secret.permutation(len(ids)).astype(np.uint32)
        self.rows = len(ids)
        self._sent = np.zeros((self.rows, _HELD_BYTES), np.uint8)
        self.chunks = _chunks(self.rows, parameters.chunk_rows)

    def hello(self) -> Hello:
        """Announce the own size. Reveals: it."""
        return Hello(agreement(self._session, self._parameters), self.rows)

    def agree(self, message: Hello, most: int | None = None) -> None:
        """Hold the peer's size and parameters against ours, and ``most`` rows, where it is known.

        Errors: ATL-PSI-003, 005, 006.
        """
        if message.agreement != agreement(self._session, self._parameters):
            raise PeerError("ATL-PSI-005", "the peer begins with other parameters or session")
        if message.rows > self._limits.rows:
            raise PeerError("ATL-PSI-006", "the peer's set is larger than the limits allow")
        if most is not None and message.rows > most:
            raise PeerError("ATL-PSI-006", "the peer's set is larger than its table in the plan")
        check_sets(self._parameters, self.rows, message.rows)
        self.peer_rows = message.rows
        self.peer_chunks = _chunks(self.peer_rows, self._parameters.chunk_rows)
        self._width = tag_bytes(self.rows, self.peer_rows)
        self._received = np.zeros((self.peer_rows, _HELD_BYTES), np.uint8)
        self._held = np.zeros((self.peer_rows, _HELD_BYTES), np.uint8)
        self._own = np.zeros((self.peer_rows, self._width), np.uint8)

    def points(self, chunk: int) -> Points:
        """Mask a chunk of the own ids. Reveals: nothing."""
        start, stop = self._span(chunk, self.rows)
        if start == stop:
            return Points(start, np.zeros((0, 32), np.uint8))
        values, offsets = self._ids.take(self.order[start:stop])
        masked = self._scalar.hash_and_mask(values, offsets, self._domain, self._limits.threads)
        self._sent[start:stop] = masked[:, :_HELD_BYTES]
        return Points(start, masked)

    def take_points(self, chunk: int, message: Points) -> None:
        """Mask a chunk of the peer's points again; after the last, look for repeated ones.

        Errors: ATL-PSI-007, ATL-PSI-008, those of ``crypto``; ATL-PSI-011 own points.
        """
        start, stop = self._span(chunk, self.peer_rows)
        _due(message.first == start and len(message.points) == stop - start)
        if start < stop:
            threads = self._limits.threads
            hashed = self._scalar.mask_and_hash(message.points, self._tag_label, threads)
            self._received[start:stop] = message.points[:, :_HELD_BYTES]
            self._held[start:stop] = hashed[:, _HALVES[self._peer_role]]
            self._own[start:stop] = hashed[:, _HALVES[self._role]][:, : self._width]

    def check_points(self) -> None:
        """Look through all points of both. Errors: ATL-PSI-008 repeated, ATL-PSI-011 own ones."""
        refuse_repeated(self._held)
        refuse_reflected(self._sent, self._received)
        del self._sent, self._received
        self._back = self._secret.permutation(self.peer_rows).astype(np.uint32)
        self._opening = self._secret.bytes(_SECRET_BYTES)
        self._returned = np.zeros((self.rows, self._width), np.uint8)

    def commit(self) -> Commitment:
        """Commit to all of the own tags. Reveals: nothing."""
        own = _TagList(self._session, self._role)
        for chunk in range(self.peer_chunks):
            own.add(self.tags(chunk))
        return Commitment(own.digest())

    def committed(self, message: Commitment) -> None:
        """Keep the peer's commitment until its tags are there."""
        self._promised = message.digest
        self._taken = _TagList(self._session, self._peer_role)

    def tags(self, chunk: int) -> Tags:
        """Return a chunk of the peer's ids, doubly masked, hashed, shuffled and cut.

        Reveals: with all chunks, how many ids are in common.
        """
        start, stop = self._span(chunk, self.peer_rows)
        return Tags(start, self._opening, self._own[self._back[start:stop]])

    def take_tags(self, chunk: int, message: Tags) -> None:
        """Keep a chunk of the own ids, doubly masked. Errors: ATL-PSI-007."""
        start, stop = self._span(chunk, self.rows)
        _due(message.first == start and message.tags.shape == (stop - start, self._width))
        self._returned[start:stop] = message.tags
        self._taken.add(message)

    def verdict(self) -> Verdict:
        """Count, and send whether it is enough.

        Reveals: that. Errors: ATL-PSI-008, ATL-PSI-012 tags that the peer did not commit to.
        """
        if self._taken.digest() != self._promised:
            raise PeerError("ATL-PSI-012", "the peer returns tags that it did not commit to")
        self.found = common(self._held, self._returned)
        self.count = int(np.count_nonzero(self.found))
        del self._returned, self._back
        self._accepted = self.count >= self._parameters.minimum_intersection
        return Verdict(self._accepted)

    def decide(self, message: Verdict) -> None:
        """Go on only if both accept. Errors: ATL-PSI-004."""
        check_count(self._accepted and message.accepted)

    def found_tags(self) -> npt.NDArray[np.uint8]:
        """Return the guest's tags of the ids in common, in the order of the peer's list."""
        tags = self._own if self._role == Role.GUEST else self._held
        return tags[self.found, : self._width]

    def own_rows(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
        """Turn positions in the own masked list into own rows, one by one."""
        return self.order[positions]

    def sorted(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Turn positions in the own masked list into own rows by rising id."""
        chosen = np.zeros(self.rows, np.bool_)
        chosen[self.own_rows(positions)] = True
        return self._ids.sorted(chosen)

    def _span(self, chunk: int, rows: int) -> tuple[int, int]:
        size = self._parameters.chunk_rows
        return min(chunk * size, rows), min((chunk + 1) * size, rows)


class _TagList:
    """SHA-256 over all tags of one seat in one session, with the secret that hides them."""

    def __init__(self, session: bytes, role: Role) -> None:
        bound = ["atoll/psi-ecdh-list/v1", session, str(role)]
        self._hash = hashlib.sha256(encode(bound))

    def add(self, message: Tags) -> None:
        # The sizes of all chunks are known before, so that their bytes can follow each other.
        self._hash.update(message.opening)
        self._hash.update(message.tags.tobytes())

    def digest(self) -> bytes:
        return self._hash.digest()


def bitmaps(found: npt.NDArray[np.bool_]) -> Iterator[Bitmap]:
    """Cut bool[n] over the peer's masked list into messages. Reveals: it, to the entitled peer."""
    bits = np.packbits(found, bitorder="little")
    for start in range(0, max(1, len(bits)), BITMAP_CHUNK):
        yield Bitmap(start, bits[start : start + BITMAP_CHUNK])


def take_bitmaps(rows: int, count: int, messages: Iterator[Bitmap]) -> npt.NDArray[np.int64]:
    """Return the set positions. Errors: ATL-PSI-009 other length, padding or number of bits."""
    length = -(-rows // 8)
    bits = np.zeros(length, np.uint8)
    for start in range(0, max(1, length), BITMAP_CHUNK):
        message, size = next(messages), min(BITMAP_CHUNK, length - start)
        if message.first != start or len(message.bits) != size:
            raise PeerError("ATL-PSI-009", "the bitmap has another length")
        bits[start : start + size] = message.bits
    found = np.unpackbits(bits, bitorder="little")
    if found[rows:].any() or int(np.count_nonzero(found)) != count:
        raise PeerError("ATL-PSI-009", "the bitmap has padding or another number of bits set")
    return np.flatnonzero(found)


def _chunks(rows: int, size: int) -> int:
    return max(1, -(-rows // size))


def _due(fits: bool) -> None:
    if not fits:
        raise PeerError("ATL-PSI-007", "another chunk was due, or one of another size")
