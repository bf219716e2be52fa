"""Commutative masking of ids on curve25519: hash to the curve, multiply by a secret scalar.

Both parties' maskings commute, so that equal ids meet as equal points after both. All arithmetic
is native and constant in time; secrets live in opaque handles that clear themselves.
"""

from __future__ import annotations

import atoll_native
import numpy as np
import numpy.typing as npt

from atoll.core.errors import InternalError, PeerError
from atoll.core.random import SecretRandom

POINT_BYTES = 32
"""The size of an encoded u-coordinate."""

Bytes2D = npt.NDArray[np.uint8]

_PEER_CODES = {"ATL-CRV-001", "ATL-CRV-002", "ATL-CRV-003"}


def _translate(error: atoll_native.NativeError) -> PeerError | InternalError:
    place = None if error.position is None else f"row {error.position}"
    kind = PeerError if error.code in _PEER_CODES else InternalError
    return kind(error.code, str(error), place=place)


class DhScalar:
    """One secret scalar of X25519, for one run: drawn here, never shown, copied or stored.

    Holds: the scalar, in native memory that is cleared on release. Pickling and copying fail.
    Source: RFC 7748 (X25519), Meadows 1986 (commutative masking).
    """

    __slots__ = ("_handle",)

    def __init__(self, random: SecretRandom) -> None:
        self._handle = atoll_native.DhScalar.generate(random.bytes(32))

    def hash_and_mask(
        self,
        values: npt.NDArray[np.uint8],
        offsets: npt.NDArray[np.int64],
        domain: bytes,
        threads: int = 0,
    ) -> Bytes2D:
        """Hash ids to the curve and multiply them; id i is ``values[offsets[i]:offsets[i + 1]]``.

        ``domain`` (1 to 255 bytes) holds protocol, version and session id. Gives uint8[n, 32].
        ``threads``: 0 means one a core. Reveals: to whoever gets the result, its length and which
        of the ids are equal, no more (decisional Diffie-Hellman, hash as random oracle).
        Errors: ATL-CRV-004, ATL-CRV-005, ATL-CRV-006. Source: RFC 9380,
        ``curve25519_XMD:SHA-512_ELL2_RO_``.
        """
        try:
            return self._handle.hash_and_mask(values, offsets, domain, threads)
        except atoll_native.NativeError as error:
            raise _translate(error) from None

    def mask(self, points: Bytes2D, threads: int = 0) -> Bytes2D:
        """Multiply a partner's points, uint8[n, 32].

        Refuses the whole batch when a point is not canonical, on the twist or of small order.
        Reveals: to whoever gets the result, which of the points are equal.
        Errors: ATL-CRV-001, ATL-CRV-002, ATL-CRV-003 (the partner's fault, with the row),
        ATL-CRV-004, ATL-CRV-005, ATL-CRV-006. Source: RFC 7748, section 5.
        """
        try:
            return self._handle.mask(points, threads)
        except atoll_native.NativeError as error:
            raise _translate(error) from None

    def mask_and_hash(self, points: Bytes2D, label: bytes, threads: int = 0) -> Bytes2D:
        """Multiply a partner's points and hash each product: SHA-256 of label and product.

        ``label`` (64 bytes) binds protocol and session. Gives uint8[n, 32]. Reveals: as ``mask``.
        Errors: those of ``mask``. Source: RFC 7748, section 5; FIPS 180-4.
        """
        try:
            return self._handle.mask_and_hash(points, label, threads)
        except atoll_native.NativeError as error:
            raise _translate(error) from None

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret scalar is not serialisable")

    def __copy__(self) -> DhScalar:
        raise TypeError("a secret scalar is not copied")

    def __repr__(self) -> str:
        return "<DhScalar>"


def hash_to_curve(
    values: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    domain: bytes,
    threads: int = 0,
) -> Bytes2D:
    """Hash ids to curve25519, unmasked: u-coordinates, uint8[n, 32]. Never send them.

    Errors: ATL-CRV-004, ATL-CRV-005, ATL-CRV-006. Source: RFC 9380, section 8.5.
    """
    try:
        return atoll_native.hash_to_curve(values, offsets, domain, threads)
    except atoll_native.NativeError as error:
        raise _translate(error) from None
