"""Paillier's encryption: numbers below n are added, and multiplied with private integers.

A ciphertext of m is (1 + m n) h^(n r) modulo n², with h = -y² modulo n of the encrypting party's
own random y and a short random r. All arithmetic is native: exponents and look-ups by secret
digits are constant in time, and sizes alone decide what is computed. Keys live for one job.

Sources: Paillier (EUROCRYPT 1999); Damgård, Jurik, Nielsen (2010), for short exponents. Their
assumption holds against whoever does not know the primes; the primes' owner is kept from choosing
an n that gives exponents away by the proof of ``prove_valid``, and a malicious owner of a valid n
may still do better than chance at recognising which sum of its own ciphertexts it was sent.
"""

from __future__ import annotations

import atoll_native
import numpy as np
import numpy.typing as npt

from atoll.core.errors import InternalError, PeerError
from atoll.crypto.he import integers
from atoll.crypto.he.integers import Int64, Rows
from atoll.crypto.native_errors import translated

SIZES = (2048, 3072, 4096)
"""Bits of n: 112, 128 and more bits of security (NIST SP 800-57 part 1, table 2)."""


class PaillierCiphertexts:
    """Ciphertexts of one public key; their sums carry the randomness of what they are made of.

    What is sent back to the key's owner must be added to fresh encryptions (``encrypt``) first:
    the owner may have made the terms, and would recognise which of them are in a sum.
    """

    __slots__ = ("_handle",)

    def __init__(self, handle: atoll_native.PaillierVector) -> None:
        self._handle = handle

    def __len__(self) -> int:
        return len(self._handle)

    def to_bytes(self, threads: int = 0) -> Rows:
        """Return uint8[m, bytes of n²], little-endian numbers below n².

        Reveals: nothing but m to those without the primes, if each was freshly encrypted.
        """
        return self._handle.to_bytes(threads)

    def add(self, other: PaillierCiphertexts, threads: int = 0) -> PaillierCiphertexts:
        """Return the sums, one by one, of as many ciphertexts of the same key object.

        Errors: ATL-CRY-002.
        """
        with translated():
            return PaillierCiphertexts(self._handle.add(other._handle, threads))

    def by_column(self, weights: Int64, width: int, threads: int = 0) -> PaillierCiphertexts:
        """Return, for int64[m, c] weights, c encrypted sums over m of plaintext times weight.

        ``width``: bytes that hold each weight with its sign, 1 to 8; time depends on it and on
        shapes alone, the cache sees the weights' digits. Errors: ATL-CRY-002 shapes, width.
        Source: Pippenger (FOCS 1976), buckets by digit.
        """
        with translated():
            return PaillierCiphertexts(self._handle.by_column(weights, width, threads))

    def by_row(self, weights: Int64, width: int, threads: int = 0) -> PaillierCiphertexts:
        """Return, for int64[r, m] weights, r encrypted sums over m of weight times plaintext.

        ``width`` and errors as in ``by_column``. Source: Brickell, Gordon, McCurley, Wilson
        (EUROCRYPT 1992), tables of powers.
        """
        with translated():
            return PaillierCiphertexts(self._handle.by_row(weights, width, threads))


class PaillierPublicKey:
    """n, and tables of a base that this party drew itself.

    Holds: public data, and a base that a party need not hide.
    """

    __slots__ = ("_handle", "modulus", "width")

    def __init__(self, modulus: bytes, entropy: bytes) -> None:
        """Prepare n, little-endian, with ``entropy`` of 32 fresh bytes. Errors: ATL-CRY-005.

        Nothing is proved: for a partner's n call ``from_peer``.
        """
        with translated():
            self._handle = atoll_native.PaillierPublicKey.prepare(modulus, entropy)
        self.modulus, self.width = int.from_bytes(modulus, "little"), len(modulus)

    @classmethod
    def from_peer(
        cls, modulus: bytes, proof: bytes, context: bytes, entropy: bytes, bits: int
    ) -> PaillierPublicKey:
        """Read a partner's n of ``bits`` bits with its proof, bound to ``context``.

        ``entropy``: 32 fresh secret bytes. Errors: ATL-CRY-005 (the sender's fault): another size
        than the plan's, or no valid proof. Source: ePrint 2021/060, figure 16.
        """
        if 8 * len(modulus) != bits or not atoll_native.verify_paillier_modulus(
            modulus, context, proof
        ):
            raise PeerError("ATL-CRY-005", "the modulus is not proved to be Paillier's")
        return cls(modulus, entropy)

    def encrypt(self, values: Int64, entropy: bytes, threads: int = 0) -> PaillierCiphertexts:
        """Encrypt int64[m]; ``entropy`` is 32 fresh secret bytes, never used twice.

        Reveals: nothing but m to those without the primes (decisional composite residuosity, short
        exponents). Errors: ATL-CRY-002. Source: Damgård, Jurik, Nielsen 2010, section 4.2.
        """
        return self.encrypt_rows(
            integers.to_rows(values, self.modulus, self.width), entropy, threads
        )

    def encrypt_rows(self, rows: Rows, entropy: bytes, threads: int = 0) -> PaillierCiphertexts:
        """Encrypt uint8[m, bytes of n], little-endian numbers below n; the rest as ``encrypt``.

        Reveals: as ``encrypt``. Errors: ATL-CRY-002. Source: as ``encrypt``.
        """
        with translated():
            return PaillierCiphertexts(self._handle.encrypt(rows, entropy, threads))

    def parse(self, data: Rows, threads: int = 0) -> PaillierCiphertexts:
        """Read uint8[m, bytes of n²]: numbers below n² that have inverses.

        Errors: ATL-CRY-002 (shape), ATL-CRY-004 (the sender's fault).
        """
        with translated():
            return PaillierCiphertexts(self._handle.parse(data, threads))


class PaillierSecretKey:
    """Both primes, for one job: drawn here, never shown, copied or stored.

    Holds: the primes, in native memory. Pickling and copying fail.
    """

    __slots__ = ("_handle", "modulus", "width")

    def __init__(self, handle: atoll_native.PaillierSecretKey) -> None:
        self._handle = handle
        modulus = handle.modulus()
        self.modulus, self.width = int.from_bytes(modulus, "little"), len(modulus)

    @classmethod
    def generate(cls, bits: int, entropy: bytes) -> PaillierSecretKey:
        """Draw primes for n of ``bits`` bits, one of ``SIZES``, from 32 fresh secret bytes.

        Errors: ATL-CRY-002 (entropy), ATL-CRY-005 (size). Source: Damgård, Jurik, Nielsen 2010:
        primes 3 modulo 4, and no common factor of (p - 1) / 2 and (q - 1) / 2.
        """
        if bits not in SIZES:
            sizes = ", ".join(map(str, SIZES))
            raise InternalError("ATL-CRY-005", f"a modulus has {sizes} bits, not {bits}")
        with translated():
            return cls(atoll_native.PaillierSecretKey.generate(bits, entropy))

    def public_bytes(self) -> bytes:
        """Return n, little-endian. Reveals: nothing but n."""
        return self.modulus.to_bytes(self.width, "little")

    def prove_valid(self, context: bytes, entropy: bytes) -> bytes:
        """Return a proof that n is a product of two primes 3 modulo 4 without a factor of φ(n).

        ``context`` binds it to a session and a seat; ``entropy``: 32 fresh secret bytes. Reveals:
        nothing else. Errors: ATL-CRY-002. Source: ePrint 2021/060, figure 16, 128 rounds.
        """
        with translated():
            return self._handle.prove(context, entropy)

    def decrypt(self, ciphertexts: Rows, threads: int = 0) -> tuple[Int64, npt.NDArray[np.bool_]]:
        """Decrypt uint8[m, bytes of n²] into int64[m], and bool[m]: it lies within 64 bits.

        What does not is returned as 0. Which these are is as secret as the numbers. Errors:
        ATL-CRY-002. Source: Paillier 1999, section 7, by remainders.
        """
        return integers.from_rows(self.decrypt_rows(ciphertexts, threads), self.modulus)

    def decrypt_rows(self, ciphertexts: Rows, threads: int = 0) -> Rows:
        """Decrypt uint8[m, bytes of n²] into uint8[m, bytes of n], little-endian, below n.

        Errors: ATL-CRY-002. Source: as ``decrypt``.
        """
        with translated():
            return self._handle.decrypt(ciphertexts, threads)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret key is not serialisable")

    def __copy__(self) -> PaillierSecretKey:
        raise TypeError("a secret key is not copied")

    def __deepcopy__(self, memo: object) -> PaillierSecretKey:
        raise TypeError("a secret key is not copied")

    def __repr__(self) -> str:
        return "<PaillierSecretKey>"
