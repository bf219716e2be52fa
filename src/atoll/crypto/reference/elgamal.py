"""EC-ElGamal pairs in plain integers: the definition that the native kernels must equal.

A pair of integers (g, h) becomes three points (rG, gG + rP1, hG + rP2) with P1 = x1 G, P2 = x2 G.
Source: Bellare, Boldyreva, Staddon 2003 (one randomiser for two independent keys).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from atoll.crypto.reference.curve25519 import (
    BASE,
    IDENTITY,
    ORDER,
    Point,
    affine_bytes,
    multiply,
    point_from_affine,
)
from atoll.crypto.reference.guard import reference_only

COFACTOR = 8
PAIR_BYTES = 192


@dataclass(frozen=True, slots=True)
class Pair:
    """A ciphertext: (rG, gG + rP1, hG + rP2)."""

    randomiser: Point
    g: Point
    h: Point

    def __add__(self, other: "Pair") -> "Pair":
        """The encryption of the componentwise sums."""
        return Pair(self.randomiser + other.randomiser, self.g + other.g, self.h + other.h)

    def __sub__(self, other: "Pair") -> "Pair":
        return Pair(self.randomiser - other.randomiser, self.g - other.g, self.h - other.h)


NEUTRAL = Pair(IDENTITY, IDENTITY, IDENTITY)


class SecretKey(NamedTuple):
    """The two secret scalars."""

    x1: int
    x2: int


class PublicKey(NamedTuple):
    """The two public points."""

    p1: Point
    p2: Point


def key_stream(entropy: bytes, length: int) -> bytes:
    """ChaCha20 output from block 0 with a zero nonce."""
    cipher = Cipher(algorithms.ChaCha20(entropy, bytes(16)), mode=None)
    return cipher.encryptor().update(bytes(length))


def randomisers(entropy: bytes, count: int) -> list[int]:
    """Scalars below 2^252, at statistical distance 2^-127 from uniform modulo the order."""
    stream = key_stream(entropy, 32 * count)
    return [
        int.from_bytes(stream[32 * index : 32 * index + 32], "little") % 2**252
        for index in range(count)
    ]


@reference_only
def generate(entropy: bytes) -> SecretKey:
    """A key pair from 32 bytes of entropy: two scalars, each from 64 bytes of key stream.

    Errors: ATL-CRY-001.
    """
    stream = key_stream(entropy, 128)
    first, second = (int.from_bytes(half, "little") % ORDER for half in (stream[:64], stream[64:]))
    return SecretKey(first, second)


@reference_only
def public_key(key: SecretKey) -> PublicKey:
    """The public points of a secret key.

    Errors: ATL-CRY-001.
    """
    return PublicKey(multiply(key.x1, BASE), multiply(key.x2, BASE))


def _encrypt(key: PublicKey, g: int, h: int, r: int) -> Pair:
    return Pair(
        multiply(r, BASE),
        multiply(g, BASE) + multiply(r, key.p1),
        multiply(h, BASE) + multiply(r, key.p2),
    )


@reference_only
def encrypt(key: PublicKey, g: Sequence[int], h: Sequence[int], entropy: bytes) -> list[Pair]:
    """Encrypts the pairs (g[i], h[i]) with the randomisers of this entropy.

    Errors: ATL-CRY-001.
    """
    scalars = randomisers(entropy, len(g))
    return [_encrypt(key, *values) for values in zip(g, h, scalars, strict=True)]


def to_bytes(pairs: Sequence[Pair]) -> bytes:
    """The wire form: 192 bytes a pair."""
    return b"".join(
        affine_bytes(point) for pair in pairs for point in (pair.randomiser, pair.g, pair.h)
    )


def from_bytes(data: bytes) -> list[Pair] | None:
    """The pairs of a wire form; None if a point is not canonical or not on the curve."""
    points = [point_from_affine(data[start : start + 64]) for start in range(0, len(data), 64)]
    valid = [point for point in points if point is not None]
    if len(data) % PAIR_BYTES or len(valid) != len(points):
        return None
    return [Pair(*valid[start : start + 3]) for start in range(0, len(valid), 3)]


@reference_only
def histogram(
    pairs: Sequence[Pair], rows: Sequence[int], bins: Sequence[Sequence[int]], width: int
) -> list[list[Pair]]:
    """For each column, the sums of the chosen rows' pairs by bin: [column][bin].

    Errors: ATL-CRY-001.
    """
    columns = len(bins[0]) if bins else 0
    cells = [[NEUTRAL] * width for _ in range(columns)]
    for row in rows:
        for column, value in enumerate(bins[row]):
            cells[column][value] += pairs[row]
    return cells


@reference_only
def cut_sum(buckets: Sequence[Pair], cut: int, missing_left: bool) -> Pair:
    """Bins 0 to cut of a column, and its last bin (missing values) where missing_left.

    Errors: ATL-CRY-001.
    """
    chosen = [*buckets[: cut + 1], *([buckets[-1]] if missing_left else [])]
    return sum_pairs(chosen)


def sum_pairs(pairs: Sequence[Pair]) -> Pair:
    """The encryption of the sum; of zero, without randomness, for no pairs."""
    total = NEUTRAL
    for pair in pairs:
        total += pair
    return total


@reference_only
def finish(
    key: PublicKey,
    sums: Sequence[Pair],
    entropy: bytes,
    noise_g: Sequence[int] | None = None,
    noise_h: Sequence[int] | None = None,
) -> list[Pair]:
    """8 times each sum plus a fresh encryption of 8 times the noise: what may leave the process.

    Errors: ATL-CRY-001.
    """
    zeros = [0] * len(sums)
    fresh = encrypt(
        key,
        [COFACTOR * value for value in noise_g or zeros],
        [COFACTOR * value for value in noise_h or zeros],
        entropy,
    )
    return [
        Pair(
            multiply(COFACTOR, total.randomiser),
            multiply(COFACTOR, total.g),
            multiply(COFACTOR, total.h),
        )
        + zero
        for total, zero in zip(sums, fresh, strict=True)
    ]


def discrete_log(point: Point, low: int, high: int) -> int | None:
    """The k in [low, high] with k * 64 G = point, by baby steps and giant steps."""
    base = multiply(64, BASE)
    stride = int((high - low + 1) ** 0.5) + 1
    table: dict[Point, int] = {}
    baby = IDENTITY
    for index in range(stride):
        table[baby] = index
        baby += base
    current, jump = point - multiply(low, base), multiply(stride, base)
    for step in range(stride + 1):
        index = table.get(current, -1)
        if index >= 0:
            value = low + step * stride + index
            return value if value <= high else None
        current -= jump
    return None


@reference_only
def decrypt(
    key: SecretKey, pair: Pair, bounds_g: tuple[int, int], bounds_h: tuple[int, int]
) -> tuple[int, int] | None:
    """The integers of a finished pair; None where one lies outside its inclusive bounds.

    Errors: ATL-CRY-001.
    """
    values = []
    for part, secret, bounds in ((pair.g, key.x1, bounds_g), (pair.h, key.x2, bounds_h)):
        plain = multiply(COFACTOR, part - multiply(secret, pair.randomiser))
        value = discrete_log(plain, *bounds)
        if value is None:
            return None
        values.append(value)
    return values[0], values[1]
