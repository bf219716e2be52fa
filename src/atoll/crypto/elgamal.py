"""EC-ElGamal pairs: two integers a ciphertext, added in buckets, for boosting histograms.

The pair (g, h) is (rG, gG + rP1, hG + rP2) on edwards25519. The key owner encrypts rows; the
evaluator sums them by bin and returns each sum times eight plus a fresh encryption of zero; the
owner finds the logarithm in a public range. All arithmetic is native; scalars and look-ups of
secret digits are constant in time, the search runs a fixed number of steps per range.
"""

from __future__ import annotations

import atoll_native
import numpy as np
import numpy.typing as npt

from atoll.crypto.native_errors import translated

PAIR_BYTES = 192
"""The size of a ciphertext pair: three affine points, x then y, little-endian."""

Pairs = npt.NDArray[np.uint8]


class PairPublicKey:
    """Two points of prime order; anyone who has it can encrypt and re-randomise.

    Holds: public data only.
    """

    __slots__ = ("_handle",)

    def __init__(self, handle: atoll_native.PairPublicKey) -> None:
        self._handle = handle

    @classmethod
    def from_bytes(cls, data: bytes) -> PairPublicKey:
        """Read 128 bytes: canonical points of prime order, different, neither neutral.

        Errors: ATL-CRY-002 (size), ATL-CRY-005 (the sender's fault).
        """
        with translated():
            return cls(atoll_native.PairPublicKey.from_bytes(data))

    def to_bytes(self) -> bytes:
        """Give the 128 bytes of both points: x, y, x, y."""
        return self._handle.to_bytes()

    def encrypt(
        self,
        g: npt.NDArray[np.int32],
        h: npt.NDArray[np.int32],
        entropy: bytes,
        threads: int = 0,
    ) -> Pairs:
        """Encrypt int32[n] g and h into uint8[n, 192]; ``entropy`` is 32 fresh secret bytes.

        Reveals: nothing but n (decisional Diffie-Hellman). Never use the same entropy twice.
        Errors: ATL-CRY-002. Source: Bellare, Boldyreva, Staddon 2003 (one r for two keys).
        """
        with translated():
            return self._handle.encrypt(g, h, entropy, threads)


class PairSecretKey:
    """Both secret scalars, for one job: drawn here, never shown, copied or stored.

    Holds: the scalars, in native memory that is cleared on release. Pickling and copying fail.
    """

    __slots__ = ("_handle",)

    def __init__(self, handle: atoll_native.PairSecretKey) -> None:
        self._handle = handle

    @classmethod
    def generate(cls, entropy: bytes) -> PairSecretKey:
        """Make a key pair from 32 fresh secret bytes. Errors: ATL-CRY-002."""
        with translated():
            return cls(atoll_native.PairSecretKey.generate(entropy))

    def public_key(self) -> PairPublicKey:
        """Give the public half. Reveals: nothing."""
        return PairPublicKey(self._handle.public_key())

    def encrypt(
        self,
        g: npt.NDArray[np.int32],
        h: npt.NDArray[np.int32],
        entropy: bytes,
        threads: int = 0,
    ) -> Pairs:
        """Encrypt int32[n] g and h into uint8[n, 192]; ``entropy`` is 32 fresh secret bytes.

        Reveals: nothing but n (decisional Diffie-Hellman). Never use the same entropy twice.
        Errors: ATL-CRY-002. Source: Bellare, Boldyreva, Staddon 2003 (one r for two keys).
        """
        with translated():
            return self._handle.encrypt(g, h, entropy, threads)

    def decrypt(
        self,
        cells: Pairs,
        g_low: int,
        g_high: int,
        h_low: int,
        h_high: int,
        threads: int = 0,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Decrypt finished cells, uint8[m, 192], into int64[m] sums g and h.

        The third array, bool[m], states of which cells both lie within their bounds; what lies
        outside is given as 0. Which these are is as secret as the sums: whoever sent the cells may
        not learn it. The bounds are inclusive and public; the work depends on them and on m alone.
        Errors: ATL-CRY-004 (a point, the sender's fault), ATL-CRY-006 (bounds).
        Source: Shanks 1971 (baby and giant steps).
        """
        with translated():
            return self._handle.decrypt(cells, g_low, g_high, h_low, h_high, threads)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret key is not serialisable")

    def __copy__(self) -> PairSecretKey:
        raise TypeError("a secret key is not copied")

    def __deepcopy__(self, memo: object) -> PairSecretKey:
        raise TypeError("a secret key is not copied")

    def __repr__(self) -> str:
        return "<PairSecretKey>"


class PairVector:
    """The evaluator's view of n received ciphertexts: points known to be on the curve."""

    __slots__ = ("_handle",)

    def __init__(self, handle: atoll_native.PairVector) -> None:
        self._handle = handle

    @classmethod
    def parse(cls, data: Pairs, threads: int = 0) -> PairVector:
        """Read uint8[n, 192]: canonical coordinates of points on the curve.

        Errors: ATL-CRY-002 (shape), ATL-CRY-004 (a point, the sender's fault).
        """
        with translated():
            return cls(atoll_native.PairVector.parse(data, threads))

    def __len__(self) -> int:
        return len(self._handle)

    def histogram(
        self,
        rows: npt.NDArray[np.uint32],
        bins: npt.NDArray[np.uint8],
        width: int,
        threads: int = 0,
    ) -> PairCells:
        """Sum the chosen rows by column and bin: columns x width cells.

        ``rows``: uint32[r], positions in this vector; ``bins``: uint8[n, columns], C order, every
        value below ``width`` (at most 256). Every row costs the same whatever its bins.
        Reveals: nothing; the cells stay here until ``finish``. Errors: ATL-CRY-002, ATL-CRY-003.
        """
        with translated():
            return PairCells(self._handle.histogram(rows, bins, width, threads))


class PairCells:
    """Sums of ciphertexts, still tied to the rows' randomness; only ``finish`` lets them out."""

    __slots__ = ("_handle",)

    def __init__(self, handle: atoll_native.PairCells) -> None:
        self._handle = handle

    def __len__(self) -> int:
        return len(self._handle)

    def cut_sums(
        self,
        columns: npt.NDArray[np.uint32],
        cuts: npt.NDArray[np.uint16],
        missing_left: npt.NDArray[np.bool_],
    ) -> PairCells:
        """Give m left sums: bins 0 to cut of a column, and its last bin where ``missing_left``.

        The last bin of a column (width - 1) holds missing values; a cut there is the column's
        total and takes no ``missing_left``. Errors: ATL-CRY-002, ATL-CRY-003.
        """
        with translated():
            return PairCells(self._handle.cut_sums(columns, cuts, missing_left))

    def add(self, other: PairCells) -> PairCells:
        """Give the cellwise sum with cells of the same shape. Errors: ATL-CRY-002."""
        with translated():
            return PairCells(self._handle.add(other._handle))

    def subtract(self, other: PairCells) -> PairCells:
        """Give the cellwise difference to cells of the same shape. Errors: ATL-CRY-002."""
        with translated():
            return PairCells(self._handle.subtract(other._handle))

    def finish(
        self,
        key: PairPublicKey,
        entropy: bytes,
        noise_g: npt.NDArray[np.int64] | None = None,
        noise_h: npt.NDArray[np.int64] | None = None,
        threads: int = 0,
    ) -> Pairs:
        """Give what may leave: uint8[m, 192], 8 sum plus a fresh encryption of 8 noise.

        The owner decrypts sum + noise. ``entropy``: 32 fresh secret bytes, used once; noise: int64
        [m], below 2^55 in magnitude, or None for zero. Reveals: to the key's owner, the sums plus
        noise and their number, not the rows behind them. Errors: ATL-CRY-002.
        """
        with translated():
            return self._handle.finish(key._handle, entropy, noise_g, noise_h, threads)
