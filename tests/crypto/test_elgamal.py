"""Native EC-ElGamal pairs against the reference, on every level of this machine."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import atoll_native
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError, InternalError, PeerError
from atoll.crypto.elgamal import PairCells, PairPublicKey, PairSecretKey, PairVector
from atoll.crypto.reference import curve25519, elgamal

FEW = settings(max_examples=8, deadline=None)
INT32 = st.integers(min_value=-(2**31), max_value=2**31 - 1)
WIDE = 2**35
KEY = b"k" * 32


@pytest.fixture(scope="module")
def key() -> PairSecretKey:
    return PairSecretKey.generate(KEY)


def encrypt(key: PairSecretKey, values: list[tuple[int, int]]) -> npt.NDArray[np.uint8]:
    g, h = (np.array(part, np.int32) for part in zip(*values, strict=True))
    return key.encrypt(g, h, os.urandom(32), threads=1)


def totals(key: PairSecretKey, data: npt.NDArray[np.uint8]) -> PairCells:
    rows = np.arange(len(data), dtype=np.uint32)
    return PairVector.parse(data).histogram(rows, np.zeros((len(data), 1), np.uint8), 1)


def decrypt(key: PairSecretKey, cells: npt.NDArray[np.uint8]) -> tuple[list[int], list[int]]:
    g, h, inside = key.decrypt(cells, -WIDE, WIDE - 1, -WIDE, WIDE - 1, threads=1)
    assert inside.all()
    return g.tolist(), h.tolist()


def finish(key: PairSecretKey, cells: PairCells) -> npt.NDArray[np.uint8]:
    return cells.finish(key.public_key(), os.urandom(32), threads=1)


@FEW
@given(
    st.lists(st.tuples(INT32, INT32), min_size=1, max_size=11), st.binary(min_size=32, max_size=32)
)
def test_ciphertexts_equal_the_reference(values: list[tuple[int, int]], entropy: bytes) -> None:
    reference_key = elgamal.public_key(elgamal.generate(KEY))
    native_key = PairSecretKey.generate(KEY)
    g, h = [value[0] for value in values], [value[1] for value in values]
    expected = elgamal.to_bytes(elgamal.encrypt(reference_key, g, h, entropy))
    arrays = np.array(g, np.int32), np.array(h, np.int32)
    assert native_key.encrypt(*arrays, entropy).tobytes() == expected
    public = PairPublicKey.from_bytes(native_key.public_key().to_bytes())
    assert public.encrypt(*arrays, entropy, threads=1).tobytes() == expected
    points = (reference_key.p1, reference_key.p2)
    assert public.to_bytes() == b"".join(map(curve25519.affine_bytes, points))


@FEW
@given(st.data())
def test_histograms_equal_the_reference(data: st.DataObject) -> None:
    columns, width = data.draw(st.integers(1, 10)), data.draw(st.integers(1, 4))
    values = data.draw(st.lists(st.tuples(INT32, INT32), min_size=1, max_size=5))
    cell = st.integers(0, width - 1)
    row = st.lists(cell, min_size=columns, max_size=columns)
    bins = data.draw(st.lists(row, min_size=len(values), max_size=len(values)))
    rows = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=6))
    noise = data.draw(st.integers(-(2**40), 2**40))
    key = PairSecretKey.generate(KEY)
    reference_key = elgamal.public_key(elgamal.generate(KEY))
    sent = encrypt(key, values)
    pairs = elgamal.from_bytes(sent.tobytes())
    assert pairs is not None
    expected = elgamal.histogram(pairs, rows, bins, width)
    cells = PairVector.parse(sent).histogram(
        np.array(rows, np.uint32), np.array(bins, np.uint8), width, threads=2
    )
    flat = [pair for column in expected for pair in column]
    noises = [noise] * len(flat)
    finished = cells.finish(key.public_key(), KEY, None, np.array(noises, np.int64))
    reference = elgamal.finish(reference_key, flat, KEY, None, noises)
    assert finished.tobytes() == elgamal.to_bytes(reference)


def test_cut_sums_and_arithmetic_equal_plain_sums(key: PairSecretKey) -> None:
    rng = np.random.default_rng(5)
    n, columns, width = 300, 11, 6
    g, h = (rng.integers(-4096, 4096, n).astype(np.int32) for _ in range(2))
    bins = rng.integers(0, width, (n, columns)).astype(np.uint8)
    bins[:, 3] = 0
    vector = PairVector.parse(key.encrypt(g, h, os.urandom(32)))
    rows = np.flatnonzero(rng.random(n) < 0.7).astype(np.uint32)
    part = rows[::2]
    whole, half = (vector.histogram(chosen, bins, width) for chosen in (rows, part))
    asked = [(c, cut, left) for c in range(columns) for cut in range(width) for left in (0, 1)]
    asked = [entry for entry in asked if entry[1] < width - 1 or not entry[2]]
    c, cut, left = (np.array(list(part)) for part in zip(*asked, strict=True))
    arguments = c.astype(np.uint32), cut.astype(np.uint16), left.astype(np.bool_)
    other = whole.subtract(half).cut_sums(*arguments)
    both = other.add(half.cut_sums(*arguments))

    def expected(chosen: npt.NDArray[np.uint32], values: npt.NDArray[np.int32]) -> list[int]:
        return [
            int(values[chosen][(b <= t) | (bool(m) & (b == width - 1))].sum())
            for i, t, m in asked
            for b in [bins[chosen, i]]
        ]

    assert decrypt(key, finish(key, both)) == (expected(rows, g), expected(rows, h))
    rest = np.setdiff1d(rows, part)
    assert decrypt(key, finish(key, other)) == (expected(rest, g), expected(rest, h))


@FEW
@given(st.lists(st.tuples(INT32, INT32), min_size=1, max_size=6), st.integers(-(2**33), 2**33))
def test_sums_with_noise_decrypt(values: list[tuple[int, int]], noise: int) -> None:
    key = PairSecretKey.generate(os.urandom(32))
    cells = totals(key, encrypt(key, values))
    noises = np.array([noise], np.int64), np.array([-noise], np.int64)
    finished = cells.finish(key.public_key(), os.urandom(32), *noises)
    g, h = sum(value[0] for value in values), sum(value[1] for value in values)
    assert decrypt(key, finished) == ([g + noise], [h - noise])
    assert decrypt(key, finish(key, cells)) == ([g], [h])


def test_empty_cells_are_encryptions(key: PairSecretKey) -> None:
    vector = PairVector.parse(encrypt(key, [(3, -4)]))
    cells = vector.histogram(np.zeros(0, np.uint32), np.zeros((1, 9), np.uint8), 5)
    assert len(cells) == 45
    finished = finish(key, cells)
    assert len(np.unique(finished[:, :64], axis=0)) == 45
    assert decrypt(key, finished) == ([0] * 45, [0] * 45)


def test_nothing_leaves_without_fresh_randomness(key: PairSecretKey) -> None:
    equal = encrypt(key, [(7, 7)] * 100)
    for part in (slice(0, 64), slice(64, 128), slice(128, 192)):
        assert len(np.unique(equal[:, part], axis=0)) == 100
    assert not np.array_equal(encrypt(key, [(7, 7)]), encrypt(key, [(7, 7)]))
    cells = totals(key, equal)
    first, second = finish(key, cells), finish(key, cells)
    for part in (slice(0, 64), slice(64, 128), slice(128, 192)):
        assert not np.array_equal(first[:, part], second[:, part])
    assert decrypt(key, first) == decrypt(key, second) == ([700], [700])


def test_torsion_changes_no_value(key: PairSecretKey) -> None:
    torsion = curve25519.Point(curve25519.SQRT_MINUS_ONE, 0)
    sent = encrypt(key, [(5, 6)])
    cells = finish(key, totals(key, sent))
    for index in range(3):
        polluted = []
        for data in (sent, cells):
            pairs = elgamal.from_bytes(data.tobytes())
            assert pairs is not None
            parts = [pairs[0].randomiser, pairs[0].g, pairs[0].h]
            parts[index] += torsion
            wire = elgamal.to_bytes([elgamal.Pair(*parts)])
            polluted.append(np.frombuffer(wire, np.uint8).reshape(1, 192))
        assert decrypt(key, finish(key, totals(key, polluted[0]))) == ([5], [6])
        assert decrypt(key, polluted[1]) == ([5], [6])


def refused(code: str, kind: type[AtollError] = PeerError) -> "pytest.RaisesExc[AtollError]":
    return pytest.raises(kind, check=lambda error: error.code == code)


def test_foreign_points_are_refused(key: PairSecretKey) -> None:
    good = encrypt(key, [(1, 2), (3, 4)])
    finished = finish(key, totals(key, good))
    wide = (curve25519.PRIME + 1).to_bytes(32, "little")
    for data in (good, finished):
        off = data.copy()
        off[-1, 100] ^= 1
        high = data.copy()
        high[-1, 31] |= 128
        loose = data.copy()
        loose[-1, :64] = np.frombuffer(bytes(32) + wide, np.uint8)  # (0, 1), not canonical
        for bad in (off, high, loose):
            with refused("ATL-CRY-004"):
                PairVector.parse(bad)
            with refused("ATL-CRY-004"):
                key.decrypt(bad, -100, 100, -100, 100)


def test_public_keys_are_checked(key: PairSecretKey) -> None:
    data = key.public_key().to_bytes()
    neutral = curve25519.affine_bytes(curve25519.IDENTITY)
    order_two = curve25519.affine_bytes(curve25519.Point(0, curve25519.PRIME - 1))
    first = curve25519.point_from_affine(data[:64])
    assert first is not None
    torsion = curve25519.Point(curve25519.SQRT_MINUS_ONE, 0)
    polluted = curve25519.affine_bytes(first + torsion)
    for bad in (neutral, order_two, polluted, data[64:], bytes(64), b"\xff" * 64):
        with refused("ATL-CRY-005"):
            PairPublicKey.from_bytes(bad + data[64:])
        with refused("ATL-CRY-005"):
            PairPublicKey.from_bytes(data[64:] + bad)
    with refused("ATL-CRY-002", InternalError):
        PairPublicKey.from_bytes(data[:127])


def test_values_outside_the_bounds_are_marked_and_leave_the_others_alone(
    key: PairSecretKey,
) -> None:
    cells = finish(key, totals(key, encrypt(key, [(100, -100)])))
    found = key.decrypt(cells, 100, 100, -100, -100)
    assert [part.tolist() for part in found] == [[100], [-100], [True]]
    other = np.concatenate([cells, finish(key, totals(key, encrypt(key, [(50, -150)])))])
    for bounds in [(0, 99, -200, 0), (0, 200, -200, -101)]:
        g, h, inside = key.decrypt(other, *bounds)
        assert (g[1], h[1], inside.tolist()) == (50, -150, [False, True])
    for bounds in [(101, 200, -200, 0), (0, 200, -99, 0)]:
        assert not key.decrypt(other, *bounds)[2].any()
    for bounds in [(1, 0, 0, 1), (0, 2**36, 0, 1), (2**63 - 2, 2**63 - 1, 0, 1)]:
        with refused("ATL-CRY-006", InternalError):
            key.decrypt(cells, *bounds)


def test_indices_and_shapes_are_checked(key: PairSecretKey) -> None:
    vector = PairVector.parse(encrypt(key, [(1, 1), (2, 2)]))
    bins = np.array([[0, 1], [2, 0]], np.uint8)
    rows = np.array([0, 1], np.uint32)
    cells = vector.histogram(rows, bins, 3)
    with refused("ATL-CRY-003", InternalError):
        vector.histogram(np.array([2], np.uint32), bins, 3)
    with refused("ATL-CRY-003", InternalError):
        vector.histogram(rows, bins, 2)
    for columns, cut, left in [(2, 0, False), (0, 3, False), (0, 2, True)]:
        with refused("ATL-CRY-003", InternalError):
            cells.cut_sums(
                np.array([columns], np.uint32), np.array([cut], np.uint16), np.array([left])
            )
    with refused("ATL-CRY-002", InternalError):
        vector.histogram(rows, bins[:1], 3)
    with refused("ATL-CRY-002", InternalError):
        vector.histogram(rows, bins, 257)
    with refused("ATL-CRY-002", InternalError):
        cells.add(vector.histogram(rows, bins, 4))
    with refused("ATL-CRY-002", InternalError):
        cells.finish(key.public_key(), bytes(31))
    with refused("ATL-CRY-002", InternalError):
        cells.finish(key.public_key(), bytes(32), np.zeros(5, np.int64))
    with refused("ATL-CRY-002", InternalError):
        cells.finish(key.public_key(), bytes(32), np.full(6, 2**55))
    with refused("ATL-CRY-002", InternalError):
        PairVector.parse(np.zeros((1, 191), np.uint8))
    with refused("ATL-CRY-002", InternalError):
        key.encrypt(np.zeros(2, np.int32), np.zeros(1, np.int32), bytes(32))


def test_secret_keys_stay_where_they_are(key: PairSecretKey) -> None:
    assert repr(key) == "<PairSecretKey>"
    for action in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            action(key)
    with pytest.raises(TypeError):
        pickle.dumps(atoll_native.PairSecretKey.generate(KEY))


@pytest.mark.parametrize(
    "level", [name for name, kind in atoll_native.simd_levels() if kind == "real"]
)
def test_every_real_level_passes_the_same_tests(level: str) -> None:
    forced = {**os.environ, "ATOLL_NATIVE__SIMD": level}
    others = f"not {test_every_real_level_passes_the_same_tests.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", others]
    done = subprocess.run(
        [*command, str(Path(__file__))], env=forced, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stdout[-3000:]
