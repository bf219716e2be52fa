"""Shamir's secret sharing of 32-byte secrets, over the field of 2^256 + 297 elements.

Source: Shamir 1979. Any ``threshold`` shares give the secret, fewer say nothing of it. Not
constant time: shares are uniform, and a secret is used as the constant term alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from atoll.core.errors import PeerError, UserError
from atoll.core.random import SecretRandom

PRIME = (1 << 256) + 297
SECRET_BYTES = 32
SHARE_BYTES = 33
MOST = 1 << 16


def split(secret: bytes, threshold: int, holders: int, source: SecretRandom) -> list[bytes]:
    """Return ``holders`` shares of 33 bytes; the share at index i belongs to point i + 1.

    Reveals: nothing, until ``threshold`` of them are together. Errors: ATL-SHR-001.
    """
    if len(secret) != SECRET_BYTES or not 1 <= threshold <= holders < MOST:
        raise UserError("ATL-SHR-001", "a secret of 32 bytes is shared with a threshold of holders")
    # 48 bytes a coefficient: reduced by the prime they are uniform up to 2^-127.
    raw = source.bytes(48 * (threshold - 1))
    coefficients = [int.from_bytes(secret, "big")]
    for start in range(0, len(raw), 48):
        coefficients.append(int.from_bytes(raw[start : start + 48], "big") % PRIME)
    return [
        _at(coefficients, point).to_bytes(SHARE_BYTES, "big") for point in range(1, holders + 1)
    ]


def join(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Return the secret from shares by point; exactly ``threshold`` of them are used.

    Errors: ATL-SHR-002 too few shares, or shares that belong to no 32-byte secret.
    """
    points = sorted(shares)[:threshold]
    if len(points) < threshold or not all(0 < point < MOST for point in points):
        raise PeerError("ATL-SHR-002", f"a secret needs {threshold} shares")
    secret = 0
    for point in points:
        above, below = 1, 1
        for other in points:
            if other != point:
                above = above * other % PRIME
                below = below * (other - point) % PRIME
        share = int.from_bytes(shares[point], "big")
        secret = (secret + share * above * pow(below, -1, PRIME)) % PRIME
    if secret >> (8 * SECRET_BYTES):
        raise PeerError("ATL-SHR-002", "shares do not belong to one secret")
    return secret.to_bytes(SECRET_BYTES, "big")


def _at(coefficients: list[int], point: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * point + coefficient) % PRIME
    return value
