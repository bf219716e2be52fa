"""Diffie-Hellman masking: algebra, vectors, refusals, and secrets that stay inside."""

import copy
import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable

import atoll_native
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError, InternalError, PeerError
from atoll.core.random import SecretRandom
from atoll.crypto.dh import DhScalar, hash_to_curve

TAG = b"atoll/test/v1"
P = 2**255 - 19


def packed(ids: list[bytes]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    values = np.frombuffer(b"".join(ids), dtype=np.uint8)
    offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    return values, offsets


def scalar() -> DhScalar:
    return DhScalar(SecretRandom())


def rows(*numbers: int) -> npt.NDArray[np.uint8]:
    raw = b"".join(number.to_bytes(32, "little") for number in numbers)
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, 32)


@settings(max_examples=10, deadline=None)
@given(ids=st.lists(st.binary(max_size=40), max_size=30), threads=st.integers(0, 3))
def test_maskings_commute(ids: list[bytes], threads: int) -> None:
    a, b = scalar(), scalar()
    values, offsets = packed(ids)
    ab = b.mask(a.hash_and_mask(values, offsets, TAG, threads), threads)
    ba = a.mask(b.hash_and_mask(values, offsets, TAG))
    assert ab.shape == (len(ids), 32)
    np.testing.assert_array_equal(ab, ba)
    assert len({row.tobytes() for row in ab}) == len(set(ids))


def test_products_are_hashed_behind_a_label() -> None:
    a, label = scalar(), bytes(range(64))
    points = hash_to_curve(*packed([b"a", b"bc"]), TAG)
    expected = [hashlib.sha256(label + bytes(product)).digest() for product in a.mask(points)]
    assert [bytes(row) for row in a.mask_and_hash(points, label)] == expected


def test_masking_is_hashing_then_multiplying() -> None:
    values, offsets = packed([b"a", b"", b"abc" * 100])
    a = scalar()
    direct = a.hash_and_mask(values, offsets, TAG)
    np.testing.assert_array_equal(direct, a.mask(hash_to_curve(values, offsets, TAG)))
    assert not np.array_equal(direct, a.hash_and_mask(values, offsets, TAG + b"2"))
    assert not np.array_equal(direct, scalar().hash_and_mask(values, offsets, TAG))


def test_hash_vector() -> None:
    # RFC 9380, appendix J.4.1
    values, offsets = packed([b"abc"])
    point = hash_to_curve(values, offsets, b"QUUX-V01-CS02-with-curve25519_XMD:SHA-512_ELL2_RO_")
    expected = "2b4419f1f2d48f5872de692b0aca72cc7b0a60915dd70bde432e826b6abc526d"
    assert point[0].tobytes()[::-1].hex() == expected


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (P, "ATL-CRV-001"),
        (P + 9, "ATL-CRV-001"),
        (2**255 + 9, "ATL-CRV-001"),
        (2, "ATL-CRV-002"),
        (1, "ATL-CRV-003"),
        (0, "ATL-CRV-003"),
    ],
)
@pytest.mark.parametrize("row", [0, 8, 4999])
def test_bad_points_refuse_the_batch(bad: int, code: str, row: int) -> None:
    points = np.tile(rows(9), (5000, 1)) if row > 8 else np.tile(rows(9), (9, 1))
    points[row] = rows(bad)[0]
    with pytest.raises(PeerError) as caught:
        scalar().mask(points)
    assert caught.value.code == code
    assert caught.value.place == f"row {row}"


def test_wrong_shapes_are_our_fault() -> None:
    a = scalar()
    values, offsets = packed([b"ab", b"c"])
    calls: list[Callable[[], object]] = [
        lambda: a.mask(np.zeros((3, 31), dtype=np.uint8)),
        lambda: a.mask(np.tile(rows(9), (4, 1))[::2]),
        lambda: a.mask_and_hash(rows(9), bytes(63)),
        lambda: a.mask_and_hash(rows(9), bytes(65)),
        lambda: a.hash_and_mask(values, offsets, b""),
        lambda: a.hash_and_mask(values, offsets, bytes(256)),
        lambda: a.hash_and_mask(values, offsets[::-1].copy(), TAG),
        lambda: a.hash_and_mask(values[:2], offsets, TAG),
        lambda: a.hash_and_mask(values, offsets[:0], TAG),
    ]
    for call in calls:
        with pytest.raises(InternalError) as caught:
            call()
        assert caught.value.code == "ATL-CRV-004"


def test_secrets_stay_inside() -> None:
    a = scalar()
    assert repr(a) == "<DhScalar>"
    for handle in (a, a._handle):
        with pytest.raises(TypeError):
            pickle.dumps(handle)
        with pytest.raises(TypeError):
            copy.copy(handle)
    with pytest.raises(atoll_native.NativeError):
        atoll_native.DhScalar.generate(bytes(31))


def test_every_real_level_agrees() -> None:
    program = (
        "import atoll_native, numpy as np\n"
        "u = np.arange(64 * 32, dtype=np.uint8).reshape(64, 32)\n"
        "p = atoll_native.x25519(bytes(range(32)), u)\n"
        "h = atoll_native.hash_to_curve(u.ravel(), np.arange(65) * 32, b'tag')\n"
        "print(atoll_native.simd_level(), p.tobytes().hex(), h.tobytes().hex())\n"
    )
    seen = set()
    for level, kind in atoll_native.simd_levels():
        environment = {**os.environ, "ATOLL_NATIVE__SIMD": level}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )
        if kind == "real":
            name, *results = done.stdout.split()
            assert name == level
            seen.add(tuple(results))
        else:
            assert "ATOLL_NATIVE__SIMD" in done.stderr
    assert len(seen) == 1


def test_unknown_level_is_refused() -> None:
    program = "import atoll_native; atoll_native.simd_level()"
    environment = {**os.environ, "ATOLL_NATIVE__SIMD": "mmx"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "NativeError" in done.stderr


def test_errors_print_their_code() -> None:
    with pytest.raises(AtollError, match="ATL-CRV-002"):
        scalar().mask(rows(2))
