"""Curve25519 in plain integers: field, Edwards group, X25519 and RFC 9380 hashing.

Source: RFC 7748 (curves, X25519), RFC 8032 (Edwards form), RFC 9380 (hash-to-curve).
"""

import hashlib
from dataclasses import dataclass

from atoll.crypto.reference.guard import reference_only

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, PRIME) % PRIME
SQRT_MINUS_ONE = pow(2, (PRIME - 1) // 4, PRIME)
MONTGOMERY_A = 486662


def inverse(value: int) -> int:
    """1/value in the field; 0 for 0."""
    return pow(value, PRIME - 2, PRIME)


def is_negative(value: int) -> bool:
    """The sign of a field element: whether its least non-negative representative is odd."""
    return value % PRIME % 2 == 1


def is_square(value: int) -> bool:
    """Whether the field element is a square; zero is."""
    return pow(value, (PRIME - 1) // 2, PRIME) in (0, 1)


def square_root(value: int) -> int | None:
    """The even square root of a field element, or None where there is none."""
    root = pow(value, (PRIME + 3) // 8, PRIME)
    if root * root % PRIME != value % PRIME:
        root = root * SQRT_MINUS_ONE % PRIME
    if root * root % PRIME != value % PRIME:
        return None
    return PRIME - root if is_negative(root) else root


@dataclass(frozen=True, slots=True)
class Point:
    """A point of -x^2 + y^2 = 1 + d x^2 y^2, affine, coordinates in [0, 2^255 - 19)."""

    x: int
    y: int

    def __add__(self, other: "Point") -> "Point":
        """The group law; complete, so also for equal and for neutral points."""
        product = D * self.x * other.x * self.y * other.y % PRIME
        x = (self.x * other.y + self.y * other.x) * inverse(1 + product)
        y = (self.y * other.y + self.x * other.x) * inverse(1 - product)
        return Point(x % PRIME, y % PRIME)

    def __neg__(self) -> "Point":
        return Point(-self.x % PRIME, self.y)

    def __sub__(self, other: "Point") -> "Point":
        return self + -other


IDENTITY = Point(0, 1)
BASE = Point(
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


def on_curve(point: Point) -> bool:
    """Whether both coordinates are canonical and satisfy the curve equation."""
    if not (0 <= point.x < PRIME and 0 <= point.y < PRIME):
        return False
    x2, y2 = point.x**2, point.y**2
    return (y2 - x2 - 1 - D * x2 * y2) % PRIME == 0


@reference_only
def multiply(scalar: int, point: Point) -> Point:
    """The multiple of a point by any integer.

    Errors: ATL-CRY-001.
    """
    if scalar < 0:
        return multiply(-scalar, -point)
    result = (0, 1, 1, 0)
    addend = (point.x, point.y, 1, point.x * point.y % PRIME)
    while scalar:
        if scalar & 1:
            result = _add_extended(result, addend)
        addend = _add_extended(addend, addend)
        scalar >>= 1
    z = inverse(result[2])
    return Point(result[0] * z % PRIME, result[1] * z % PRIME)


Extended = tuple[int, int, int, int]


def _add_extended(left: Extended, right: Extended) -> Extended:
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a = (y1 - x1) * (y2 - x2)
    b = (y1 + x1) * (y2 + x2)
    c = 2 * D * t1 * t2
    d = 2 * z1 * z2
    e, f, g, h = (b - a) % PRIME, (d - c) % PRIME, (d + c) % PRIME, (b + a) % PRIME
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def affine_bytes(point: Point) -> bytes:
    """The 64-byte wire form: x, then y, little-endian."""
    return point.x.to_bytes(32, "little") + point.y.to_bytes(32, "little")


def point_from_affine(data: bytes) -> Point | None:
    """The point of a 64-byte wire form; None if not canonical or not on the curve."""
    point = Point(int.from_bytes(data[:32], "little"), int.from_bytes(data[32:64], "little"))
    return point if len(data) == 64 and on_curve(point) else None


@reference_only
def x25519(scalar: bytes, u: bytes) -> bytes:
    """The X25519 function over 32-byte strings; an all-zero result is the caller's to refuse.

    Errors: ATL-CRY-001. Source: RFC 7748, section 5.
    """
    bits = bytearray(scalar)
    bits[0] &= 248
    bits[31] = bits[31] & 127 | 64
    start = int.from_bytes(u, "little") % 2**255
    return ladder(int.from_bytes(bits, "little"), start).to_bytes(32, "little")


@reference_only
def ladder(scalar: int, u: int) -> int:
    """The u-coordinate of scalar times the point with coordinate u (0 stands for infinity).

    Errors: ATL-CRY-001. Source: RFC 7748, section 5.
    """
    x2, z2, x3, z3 = 1, 0, u % PRIME, 1
    for index in reversed(range(max(scalar.bit_length(), 1))):
        bit = scalar >> index & 1
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b = x2 + z2, x2 - z2
        c, d = x3 + z3, x3 - z3
        da, cb = d * a, c * b
        aa, bb = a * a, b * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % PRIME, u * (da - cb) ** 2 % PRIME
        x2, z2 = aa * bb % PRIME, e * (bb + (MONTGOMERY_A + 2) // 4 * e) % PRIME
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return x2 * inverse(z2) % PRIME


@reference_only
def expand_message_xmd(message: bytes, tag: bytes, length: int) -> bytes:
    """Uniform bytes from a message and a domain separation tag, with SHA-512.

    Errors: ATL-CRY-001. Source: RFC 9380, section 5.3.1.
    """
    if len(tag) > 255:
        tag = hashlib.sha512(b"H2C-OVERSIZE-DST-" + tag).digest()
    suffix = tag + bytes([len(tag)])
    first = hashlib.sha512(
        bytes(128) + message + length.to_bytes(2, "big") + b"\0" + suffix
    ).digest()
    block = hashlib.sha512(first + b"\1" + suffix).digest()
    output = block
    for index in range(2, -(-length // 64) + 1):
        mixed = bytes(a ^ b for a, b in zip(first, block, strict=True))
        block = hashlib.sha512(mixed + bytes([index]) + suffix).digest()
        output += block
    return output[:length]


def _elligator(value: int) -> tuple[int, int]:
    """Elligator 2: a field element to a point (u, v) of the Montgomery curve."""
    denominator = (1 + 2 * value * value) % PRIME
    first = -MONTGOMERY_A * (inverse(denominator) or 1) % PRIME
    right = (first**3 + MONTGOMERY_A * first**2 + first) % PRIME
    if is_square(right):
        u, negative = first, True
    else:
        u, negative = (-first - MONTGOMERY_A) % PRIME, False
    root = square_root(u**3 + MONTGOMERY_A * u**2 + u)
    v = 0 if root is None else root
    return u, (-v % PRIME if is_negative(v) != negative else v)


def _add_montgomery(
    left: tuple[int, int] | None, right: tuple[int, int] | None
) -> tuple[int, int] | None:
    """The group law of v^2 = u^3 + A u^2 + u; None is the neutral element."""
    if left is None or right is None:
        return right if left is None else left
    (u1, v1), (u2, v2) = left, right
    if u1 == u2 and (v1 + v2) % PRIME == 0:
        return None
    if u1 == u2:
        slope = (3 * u1 * u1 + 2 * MONTGOMERY_A * u1 + 1) * inverse(2 * v1)
    else:
        slope = (v2 - v1) * inverse(u2 - u1)
    u3 = (slope * slope - MONTGOMERY_A - u1 - u2) % PRIME
    return u3, (slope * (u1 - u3) - v1) % PRIME


@reference_only
def hash_to_curve(message: bytes, tag: bytes) -> tuple[int, int]:
    """A point (u, v) of the prime-order subgroup of curve25519 from a message.

    The suite is curve25519_XMD:SHA-512_ELL2_RO_ with the given tag; (0, 0) stands for the neutral
    element. Errors: ATL-CRY-001. Source: RFC 9380, sections 3, 6.7.1 and 8.5.
    """
    uniform = expand_message_xmd(message, tag, 96)
    first = _elligator(int.from_bytes(uniform[:48], "big") % PRIME)
    second = _elligator(int.from_bytes(uniform[48:], "big") % PRIME)
    point = _add_montgomery(first, second)
    for _ in range(3):
        point = _add_montgomery(point, point)
    return (0, 0) if point is None else point


def montgomery_u(point: Point) -> int:
    """The u-coordinate of an Edwards point (0 for the neutral element)."""
    return (1 + point.y) * inverse(1 - point.y) % PRIME
