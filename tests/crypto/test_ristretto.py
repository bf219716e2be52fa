"""Native ristretto255 against the reference."""

import copy
import pickle

import atoll_native
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from atoll.core.errors import PeerError
from atoll.core.random import SecretRandom
from atoll.crypto.reference import curve25519, ristretto
from atoll.crypto.ristretto import RistrettoScalar, from_uniform


def rows(parts: list[bytes]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(parts), np.uint8).reshape(len(parts), -1)


@settings(max_examples=8, deadline=None)
@given(
    st.binary(min_size=64, max_size=64),
    st.lists(st.binary(min_size=64, max_size=64), min_size=1, max_size=10),
)
def test_equals_the_reference(entropy: bytes, uniform: list[bytes]) -> None:
    points = [ristretto.from_uniform(value) for value in uniform]
    encoded = [ristretto.encode(point) for point in points]
    assert from_uniform(rows(uniform)).tobytes() == b"".join(encoded)
    assume(bytes(32) not in encoded)  # two equal opposite halves: the neutral element
    scalar = int.from_bytes(entropy, "little") % curve25519.ORDER
    products = [ristretto.encode(curve25519.multiply(scalar, point)) for point in points]
    native = atoll_native.RistrettoScalar.generate(entropy)
    assert native.multiply(rows(encoded), threads=1).tobytes() == b"".join(products)


def test_bad_elements_are_refused_with_their_row() -> None:
    scalar = RistrettoScalar(SecretRandom())
    good = ristretto.encode(curve25519.BASE)
    prime = curve25519.PRIME.to_bytes(32, "little")
    negative = (curve25519.PRIME - int.from_bytes(good, "little")).to_bytes(32, "little")
    no_element = b"\x02" + bytes(31)
    assert ristretto.decode(no_element) is None
    for bad in (bytes(32), prime, negative, no_element, b"\xff" * 32):
        with pytest.raises(PeerError, match="row 2") as raised:
            scalar.multiply(rows([good, good, bad, good]))
        assert raised.value.code == "ATL-CRY-008"


def test_secret_scalars_stay_where_they_are() -> None:
    scalar = RistrettoScalar(SecretRandom())
    assert repr(scalar) == "<RistrettoScalar>"
    for action in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            action(scalar)
