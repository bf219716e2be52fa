"""The ristretto255 group in plain integers: encode, decode, map from uniform bytes.

Source: RFC 9496, section 4.
"""

from atoll.crypto.reference.curve25519 import (
    PRIME,
    SQRT_MINUS_ONE,
    D,
    Point,
    inverse,
    is_negative,
)
from atoll.crypto.reference.guard import reference_only


def _absolute(value: int) -> int:
    value %= PRIME
    return PRIME - value if is_negative(value) else value


def _root_of_ratio(numerator: int, denominator: int) -> tuple[bool, int]:
    """(was it a square?, |sqrt(n/d)| or |sqrt(i n/d)|)."""
    numerator, denominator = numerator % PRIME, denominator % PRIME
    root = numerator * denominator**3 * pow(numerator * denominator**7, (PRIME - 5) // 8, PRIME)
    check = denominator * root * root % PRIME
    negated = -numerator % PRIME
    if check in (negated, negated * SQRT_MINUS_ONE % PRIME):
        root *= SQRT_MINUS_ONE
    return check in (numerator, negated), _absolute(root)


INVERSE_ROOT_A_MINUS_D = _root_of_ratio(1, -1 - D)[1]
# Of the two roots of a*d - 1 the RFC's table fixes the odd one.
ROOT_AD_MINUS_ONE = PRIME - _root_of_ratio(-D - 1, 1)[1]


@reference_only
def encode(point: Point) -> bytes:
    """The 32 bytes that stand for the point's coset modulo torsion.

    Errors: ATL-CRY-001. Source: RFC 9496, section 4.3.2.
    """
    x0, y0 = point.x, point.y
    t0 = x0 * y0 % PRIME
    u1, u2 = (1 - y0 * y0) % PRIME, t0
    root = _root_of_ratio(1, u1 * u2 * u2)[1]
    first, second = root * u1 % PRIME, root * u2 % PRIME
    z_inverse = first * second * t0 % PRIME
    if is_negative(t0 * z_inverse):
        x, y = y0 * SQRT_MINUS_ONE % PRIME, x0 * SQRT_MINUS_ONE % PRIME
        denominator = first * INVERSE_ROOT_A_MINUS_D % PRIME
    else:
        x, y, denominator = x0, y0, second
    if is_negative(x * z_inverse):
        y = -y % PRIME
    return _absolute(denominator * (1 - y)).to_bytes(32, "little")


@reference_only
def decode(data: bytes) -> Point | None:
    """A representative of the coset of a 32-byte encoding; None if it is not a valid one.

    Errors: ATL-CRY-001. Source: RFC 9496, section 4.3.1.
    """
    s = int.from_bytes(data, "little")
    if len(data) != 32 or s >= PRIME or is_negative(s):
        return None
    square = s * s % PRIME
    u1, u2 = (1 - square) % PRIME, (1 + square) % PRIME
    v = (-(D * u1 * u1) - u2 * u2) % PRIME
    was_square, root = _root_of_ratio(1, v * u2 * u2)
    x_part, y_part = root * u2 % PRIME, root * root * u2 * v % PRIME
    x, y = _absolute(2 * s * x_part), u1 * y_part % PRIME
    if not was_square or is_negative(x * y) or y == 0:
        return None
    return Point(x, y)


def _map(value: int) -> Point:
    r = SQRT_MINUS_ONE * value * value % PRIME
    u = (r + 1) * (1 - D * D) % PRIME
    v = (-1 - r * D) * (r + D) % PRIME
    was_square, s = _root_of_ratio(u, v)
    c = -1
    if not was_square:
        s, c = -_absolute(s * value) % PRIME, r
    n = (c * (r - 1) * (D - 1) ** 2 - v) % PRIME
    w0, w1 = 2 * s * v, n * ROOT_AD_MINUS_ONE
    w2, w3 = 1 - s * s, 1 + s * s
    return Point(w0 * inverse(w1) % PRIME, w2 * inverse(w3) % PRIME)


@reference_only
def from_uniform(data: bytes) -> Point:
    """A representative of the element that 64 uniform bytes map to.

    Errors: ATL-CRY-001. Source: RFC 9496, section 4.3.4.
    """
    halves = (data[:32], data[32:64])
    first, second = (_map(int.from_bytes(half, "little") % 2**255) for half in halves)
    return first + second
