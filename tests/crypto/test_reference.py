"""The plain-Python curve against published vectors and a second implementation."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import InternalError
from atoll.crypto.reference import curve25519, elgamal, ristretto
from atoll.crypto.reference.curve25519 import BASE, IDENTITY, ORDER, PRIME, Point, multiply

SCALARS = st.integers(min_value=0, max_value=ORDER - 1)
FEW = settings(max_examples=15, deadline=None)


def vectors(name: str) -> Any:
    folder = os.environ.get("ATOLL_DATA")
    if folder is None:
        pytest.skip("needs ATOLL_DATA")
    return json.loads((Path(folder) / "vectors" / name).read_text())


def test_refuses_outside_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATOLL_INSECURE_SIMULATION")
    with pytest.raises(InternalError) as raised:
        elgamal.generate(bytes(32))
    assert raised.value.code == "ATL-CRY-001"


def test_base_point_has_prime_order() -> None:
    assert curve25519.on_curve(BASE)
    assert BASE.y == 4 * curve25519.inverse(5) % PRIME
    assert multiply(ORDER, BASE) == IDENTITY
    assert curve25519.montgomery_u(BASE) == 9


@FEW
@given(SCALARS, SCALARS)
def test_multiplication_is_linear(first: int, second: int) -> None:
    assert multiply(first, BASE) + multiply(second, BASE) == multiply(first + second, BASE)
    assert multiply(first, BASE) - multiply(first, BASE) == IDENTITY


@FEW
@given(SCALARS)
def test_ladder_equals_edwards(scalar: int) -> None:
    expected = curve25519.montgomery_u(multiply(scalar, BASE))
    assert curve25519.ladder(scalar, 9) == expected


@FEW
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_x25519_equals_openssl(scalar: bytes, other: bytes) -> None:
    private = X25519PrivateKey.from_private_bytes(scalar)
    public = X25519PrivateKey.from_private_bytes(other).public_key()
    raw = public.public_bytes_raw()
    assert curve25519.x25519(scalar, raw) == private.exchange(
        X25519PublicKey.from_public_bytes(raw)
    )


def test_x25519_wycheproof() -> None:
    for group in vectors("x25519_test.json")["testGroups"]:
        for test in group["tests"][::8]:
            shared = curve25519.x25519(
                bytes.fromhex(test["private"]), bytes.fromhex(test["public"])
            )
            assert shared.hex() == test["shared"], test["tcId"]


def test_hash_to_curve_rfc9380() -> None:
    data = vectors("curve25519_XMD_SHA-512_ELL2_RO_.json")
    for vector in data["vectors"]:
        u, v = curve25519.hash_to_curve(vector["msg"].encode(), data["dst"].encode())
        assert (u, v) == (int(vector["P"]["x"], 16), int(vector["P"]["y"], 16))


def test_ristretto_small_multiples_rfc9496() -> None:
    known = {
        0: "00" * 32,
        1: "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
        2: "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
        3: "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
    }
    for scalar, encoded in known.items():
        assert ristretto.encode(multiply(scalar, BASE)).hex() == encoded


@FEW
@given(SCALARS)
def test_ristretto_ignores_torsion(scalar: int) -> None:
    point = multiply(scalar, BASE)
    encoded = ristretto.encode(point)
    for torsion in (Point(0, PRIME - 1), Point(curve25519.SQRT_MINUS_ONE, 0)):
        assert curve25519.on_curve(torsion)
        assert ristretto.encode(point + torsion) == encoded
    decoded = ristretto.decode(encoded)
    assert decoded is not None
    assert ristretto.encode(decoded) == encoded


def test_ristretto_refuses_non_canonical() -> None:
    for value in (PRIME, PRIME + 2, 1, 2**255 - 1):
        assert ristretto.decode(value.to_bytes(32, "little")) is None
    assert ristretto.decode(bytes(31)) is None


def test_ristretto_uniform_map_rfc9496() -> None:
    uniform = bytes.fromhex(
        "5d1be09e3d0c82fc538112490e35701979d99e06ca3e2b5b54bffe8b4dc772c1"
        "4d98b696a1bbfb5ca32c436cc61c16563790306c79eaca7705668b47dffe5bb6"
    )
    expected = "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46"
    assert ristretto.encode(ristretto.from_uniform(uniform)).hex() == expected


VALUES = st.integers(min_value=-50, max_value=50)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=4), VALUES)
def test_elgamal_sums_decrypt(values: list[tuple[int, int]], noise: int) -> None:
    key = elgamal.generate(b"k" * 32)
    public = elgamal.public_key(key)
    g, h = [value[0] for value in values], [value[1] for value in values]
    pairs = elgamal.encrypt(public, g, h, b"e" * 32)
    sums = [elgamal.sum_pairs(pairs), elgamal.NEUTRAL]
    finished = elgamal.finish(public, sums, b"f" * 32, [noise, 0], None)
    parsed = elgamal.from_bytes(elgamal.to_bytes(finished))
    assert parsed == finished
    bounds = (-250, 250)
    assert elgamal.decrypt(key, finished[0], bounds, bounds) == (sum(g) + noise, sum(h))
    assert elgamal.decrypt(key, finished[1], bounds, bounds) == (0, 0)


def test_elgamal_histogram_and_cuts() -> None:
    key = elgamal.generate(b"k" * 32)
    public = elgamal.public_key(key)
    pairs = elgamal.encrypt(public, [1, 2, 4], [-1, 0, 5], b"e" * 32)
    cells = elgamal.histogram(pairs, [0, 2], [[0, 1], [1, 1], [2, 0]], 3)
    left = [elgamal.cut_sum(cells[0], 0, missing) for missing in (False, True)]
    finished = elgamal.finish(public, left, b"f" * 32)
    bounds = (-10, 10)
    assert [elgamal.decrypt(key, pair, bounds, bounds) for pair in finished] == [(1, -1), (5, 4)]
    assert elgamal.decrypt(key, finished[1], (0, 4), bounds) is None


def test_elgamal_refuses_foreign_points() -> None:
    assert elgamal.from_bytes(bytes(192)) is None
    assert elgamal.from_bytes(bytes(191)) is None
    wide = (PRIME).to_bytes(32, "little") + (PRIME + 1).to_bytes(32, "little")
    assert elgamal.from_bytes(wide * 3) is None
