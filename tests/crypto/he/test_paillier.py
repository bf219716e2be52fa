"""Native Paillier against the definition in Python's integers."""

from __future__ import annotations

import copy
import os
import pickle

import atoll_native
import numpy as np
import numpy.typing as npt
import pytest

from atoll.core.errors import AtollError, InternalError, PeerError
from atoll.crypto.he import integers
from atoll.crypto.he.paillier import PaillierCiphertexts, PaillierPublicKey, PaillierSecretKey

CONTEXT = b"session and seat"
# Primes 2^1024 - 105 and 2^1024 - 1397.
P, Q = (1 << 1024) - 105, (1 << 1024) - 1397


@pytest.fixture(scope="module")
def key() -> PaillierSecretKey:
    return PaillierSecretKey.generate(2048, b"k" * 32)


@pytest.fixture(scope="module")
def public(key: PaillierSecretKey) -> PaillierPublicKey:
    proof = key.prove_valid(CONTEXT, os.urandom(32))
    return PaillierPublicKey.from_peer(key.public_bytes(), proof, CONTEXT, os.urandom(32), 2048)


def numbers(rows: npt.NDArray[np.uint8]) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def opened(key: PaillierSecretKey, found: PaillierCiphertexts) -> list[int]:
    values, inside = key.decrypt(found.to_bytes())
    assert inside.all()
    return [int(value) for value in values]


def test_ciphertexts_are_those_of_the_definition() -> None:
    native = atoll_native.PaillierSecretKey.from_primes(
        P.to_bytes(128, "little"), Q.to_bytes(128, "little")
    )
    key = PaillierSecretKey(native)
    n = P * Q
    assert key.modulus == n
    # Encrypted as in the paper, with r^n.
    plain = [0, 1, n - 1, n // 2, n // 2 + 1]
    random = [3, 5, 2**2000 + 1, n - 2, 7]
    sent = [(1 + m * n) * pow(r, n, n * n) % (n * n) for m, r in zip(plain, random, strict=True)]
    rows = np.frombuffer(b"".join(c.to_bytes(512, "little") for c in sent), np.uint8)
    assert numbers(key.decrypt_rows(rows.reshape(-1, 512))) == plain
    # Decrypted as in the paper, with λ and μ.
    public = PaillierPublicKey(key.public_bytes(), os.urandom(32))
    order = (P - 1) * (Q - 1)
    made = numbers(public.encrypt(np.array([5, -7]), os.urandom(32)).to_bytes())
    found = [(pow(c, order, n * n) - 1) // n * pow(order, -1, n) % n for c in made]
    assert found == [5, n - 7]


def test_sums_and_weights(key: PaillierSecretKey, public: PaillierPublicKey) -> None:
    random = np.random.default_rng(1)
    values = random.integers(-(2**40), 2**40, 30)
    vector = public.encrypt(values, os.urandom(32))
    assert opened(key, vector) == values.tolist()
    other = public.encrypt(values[::-1].copy(), os.urandom(32))
    assert opened(key, vector.add(other)) == (values + values[::-1]).tolist()
    tall = random.integers(-(2**15), 2**15, (30, 7))
    assert opened(key, vector.by_column(tall, 2)) == (values @ tall).tolist()
    wide = random.integers(-(2**15), 2**15, (9, 30))
    assert opened(key, vector.by_row(wide, 2)) == (wide @ values).tolist()


def test_threads_change_nothing(public: PaillierPublicKey) -> None:
    entropy = os.urandom(32)
    one, three = (public.encrypt(np.arange(50), entropy, threads).to_bytes() for threads in (1, 3))
    assert np.array_equal(one, three)


def test_no_two_ciphertexts_are_equal(public: PaillierPublicKey) -> None:
    zeros = np.zeros(20, np.int64)
    rows = [public.encrypt(zeros, os.urandom(32)).to_bytes() for _ in range(2)]
    assert len({row.tobytes() for part in rows for row in part}) == 40


def test_ciphertexts_travel(key: PaillierSecretKey, public: PaillierPublicKey) -> None:
    sent = public.encrypt(np.array([1, -2, 3]), os.urandom(32)).to_bytes()
    assert sent.shape == (3, 512)
    assert opened(key, public.parse(sent)) == [1, -2, 3]
    n = public.modulus
    for bad in (0, n, n * n, n * n - n, 2**4096 - 1, 17 * n):
        rows = sent.copy()
        rows[1] = np.frombuffer(bad.to_bytes(512, "little"), np.uint8)
        with pytest.raises(PeerError, match="no ciphertext") as caught:
            public.parse(rows)
        assert caught.value.code == "ATL-CRY-004"
    with pytest.raises(InternalError):
        public.parse(sent[:, :511])


def test_masks_are_taken_off(key: PaillierSecretKey, public: PaillierPublicKey) -> None:
    masks = np.frombuffer(os.urandom(4 * 256), np.uint8).reshape(4, 256).copy()
    masks[:, -1] = 0
    vector = public.encrypt(np.array([1, -2, 2**62, -(2**62)]), os.urandom(32))
    masked = vector.add(public.encrypt_rows(masks, os.urandom(32)))
    values, inside = key.decrypt(masked.to_bytes())
    assert not inside.any()
    assert not values.any()
    plain = integers.subtract(key.decrypt_rows(masked.to_bytes()), masks, key.modulus)
    found, inside = integers.from_rows(plain, key.modulus)
    assert inside.all()
    assert found.tolist() == [1, -2, 2**62, -(2**62)]


def test_a_modulus_needs_its_proof(key: PaillierSecretKey) -> None:
    proof, n = key.prove_valid(CONTEXT, os.urandom(32)), key.public_bytes()
    changed = bytes([proof[0] ^ 1]) + proof[1:]
    for modulus, shown, context, bits in (
        (n, proof, b"another session", 2048),
        (n, proof, CONTEXT, 3072),
        (n, changed, CONTEXT, 2048),
        (n, proof[:-1], CONTEXT, 2048),
        (n, b"", CONTEXT, 2048),
        (n[:-1], proof, CONTEXT, 2040),
        ((key.modulus + 2).to_bytes(256, "little"), proof, CONTEXT, 2048),
        ((key.modulus + 1).to_bytes(256, "little"), proof, CONTEXT, 2048),
        (b"", b"", CONTEXT, 0),
    ):
        with pytest.raises(PeerError) as caught:
            PaillierPublicKey.from_peer(modulus, shown, context, os.urandom(32), bits)
        assert caught.value.code == "ATL-CRY-005"


@pytest.mark.parametrize(
    "call",
    [
        lambda key, public: PaillierSecretKey.generate(1024, b"k" * 32),
        lambda key, public: PaillierSecretKey.generate(2048, b"k" * 31),
        lambda key, public: public.encrypt(np.arange(3), b"short"),
        lambda key, public: public.encrypt_rows(np.zeros((3, 255), np.uint8), b"k" * 32),
        lambda key, public: public.encrypt_rows(np.full((3, 256), 255, np.uint8), b"k" * 32),
        lambda key, public: key.decrypt(np.zeros((3, 511), np.uint8)),
        lambda key, public: three(public).add(three(public, 4)),
        lambda key, public: three(public).add(
            three(PaillierPublicKey(key.public_bytes(), b"o" * 32))
        ),
        lambda key, public: three(public).by_column(np.ones((4, 2), np.int64), 1),
        lambda key, public: three(public).by_column(np.full((3, 2), 128), 1),
        lambda key, public: three(public).by_row(np.ones((2, 4), np.int64), 1),
        lambda key, public: three(public).by_row(np.ones((2, 3), np.int64), 9),
    ],
)
def test_what_does_not_fit_is_refused(
    key: PaillierSecretKey, public: PaillierPublicKey, call: object
) -> None:
    assert callable(call)
    with pytest.raises(AtollError) as caught:
        call(key, public)
    assert caught.value.code in {"ATL-CRY-002", "ATL-CRY-005"}


def three(public: PaillierPublicKey, count: int = 3) -> PaillierCiphertexts:
    return public.encrypt(np.arange(count), os.urandom(32))


def test_a_secret_key_is_neither_shown_nor_copied(key: PaillierSecretKey) -> None:
    for take in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            take(key)
    assert repr(key) == "<PaillierSecretKey>"
