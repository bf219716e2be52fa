"""The masked sum: exact for whoever survives, and closed to an aggregator that lies."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.core.random import SecretRandom
from atoll.operators.secure_sum.fixed_point import FixedPoint
from atoll.operators.secure_sum.masked.aggregator import Aggregator
from atoll.operators.secure_sum.masked.client import Client, Setting
from atoll.operators.secure_sum.masked.messages import Consents, Roster, Shares, Survivors

SECRETS = SecretRandom()


class Signers:
    """Signatures by a hash with the signer's name: enough where no test forges one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def sign(self, data: bytes) -> bytes:
        return hashlib.sha512(self._name.encode() + b"\0" + data).digest()

    def verify(self, name: str, data: bytes, signature: bytes) -> bool:
        return Signers(name).sign(data) == signature


class Play:
    """All clients and the aggregator of one sum; who is gone from which step on."""

    def __init__(self, number: int, length: int, bits: int = 32) -> None:
        self.names = tuple(f"c{i:02}" for i in range(number))
        self.setting = Setting(b"s" * 32, self.names, 2 * number // 3 + 1)
        self.clients = {n: Client(self.setting, n, Signers(n), SECRETS) for n in self.names}
        self.aggregator = Aggregator(self.setting)
        generator = np.random.default_rng(number)
        kind = np.dtype(f"<u{bits // 8}")
        top = 1 << bits
        self.vectors = {
            n: generator.integers(0, top, length, dtype=np.uint64, endpoint=False).astype(kind)
            if bits < 64
            else generator.integers(0, top - 1, length, dtype=np.uint64, endpoint=True)
            for n in self.names
        }
        self.masked = {n: v.copy() for n, v in self.vectors.items()}

    def to_masks(self, gone: Iterable[str] = (), unmasked: Iterable[str] = ()) -> list[str]:
        """Play until vectors are masked; return who sent one."""
        here = [n for n in self.names if n not in set(gone)]
        roster = self.aggregator.roster({n: self.clients[n].keys() for n in here})
        shares = {n: self.clients[n].share(roster) for n in here}
        received = self.aggregator.passed_on(shares)
        sent = [n for n in here if n not in set(unmasked)]
        for name in sent:
            self.clients[name].mask(self.masked[name], received[name])
        return sent

    def total(self, sent: list[str], silent: Iterable[str] = ()) -> np.ndarray:
        """Play on to the sum; ``silent`` do not answer any more."""
        survivors = self.aggregator.survivors(set(sent))
        answering = [n for n in sent if n not in set(silent)]
        consents = self.aggregator.consents(
            {n: self.clients[n].consent(survivors) for n in answering}
        )
        opened = {n: self.clients[n].open(consents) for n in answering}
        total = sum((self.masked[n] for n in sent), np.zeros_like(self.masked[sent[0]]))
        self.aggregator.unmask(total, opened)
        return total


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    ("gone", "unmasked", "silent"), [(0, 0, 0), (1, 0, 0), (0, 2, 1), (1, 1, 1)]
)
def test_the_sum_is_exact_for_those_who_survive(
    bits: int, gone: int, unmasked: int, silent: int
) -> None:
    play = Play(10, 20_001, bits)
    names = play.names
    sent = play.to_masks(names[:gone], names[3 : 3 + unmasked])
    total = play.total(sent, sent[:silent])
    assert np.array_equal(total, sum(play.vectors[n] for n in sent))


def test_a_masked_vector_looks_uniform() -> None:
    play = Play(3, 1 << 16)
    for vector in play.masked.values():
        vector[:] = 7
    play.to_masks()
    for vector in play.masked.values():
        counts = np.bincount(vector >> 28, minlength=16)
        # Chi-squared with 15 degrees of freedom: above 60 in one of 10^6 runs.
        assert ((counts - 4096) ** 2 / 4096).sum() < 60


def test_too_few_survivors_end_the_sum() -> None:
    play = Play(9, 10)
    sent = play.to_masks(unmasked=play.names[:3])
    with pytest.raises(AtollError, match="ATL-SUM-012"):
        play.aggregator.survivors(set(sent))


def test_an_aggregator_cannot_show_two_sets_of_survivors() -> None:
    play = Play(9, 10)
    sent = play.to_masks()
    one, other = Survivors(tuple(sent[:8])), Survivors(tuple(sent[1:]))
    signed = {n: play.clients[n].consent(one if n < sent[4] else other) for n in sent[1:8]}
    names = tuple(sorted(signed))
    consents = Consents(names, tuple(signed[n].signature for n in names))
    for name in names:
        with pytest.raises(AtollError, match="ATL-SUM-014"):
            play.clients[name].open(consents)


def test_a_client_answers_once() -> None:
    play = Play(4, 10)
    play.total(play.to_masks())
    name = play.names[0]
    with pytest.raises(AtollError, match="ATL-SUM-016"):
        play.clients[name].open(Consents((), ()))
    with pytest.raises(AtollError, match="ATL-SUM-016"):
        play.clients[name].consent(Survivors(play.names))


def test_keys_that_a_client_did_not_sign_are_refused() -> None:
    play = Play(4, 10)
    roster = play.aggregator.roster({n: c.keys() for n, c in play.clients.items()})
    own, *rest = roster.keys
    false = Roster(roster.names, (own, rest[0][:32] + rest[1][32:64] + rest[0][64:], *rest[1:]))
    with pytest.raises(AtollError, match="ATL-SUM-011"):
        play.clients[play.names[0]].share(false)


def test_invented_clients_are_refused() -> None:
    play = Play(4, 10)
    roster = play.aggregator.roster({n: c.keys() for n, c in play.clients.items()})
    invented = Roster((*roster.names, "d"), (*roster.keys, roster.keys[0]))
    with pytest.raises(AtollError, match="ATL-SUM-010"):
        play.clients[play.names[0]].share(invented)


def test_a_sum_with_one_other_is_refused() -> None:
    play = Play(6, 10)
    roster = play.aggregator.roster({n: c.keys() for n, c in play.clients.items()})
    shares = {n: play.clients[n].share(roster) for n in play.names}
    received = play.aggregator.passed_on(shares)[play.names[0]]
    few = Shares(received.names[:1], received.sealed[:1])
    with pytest.raises(AtollError, match="ATL-SUM-012"):
        play.clients[play.names[0]].mask(play.masked[play.names[0]], few)


def test_shares_of_another_session_do_not_open() -> None:
    play, other = Play(4, 10), Play(4, 10)
    roster = play.aggregator.roster({n: c.keys() for n, c in play.clients.items()})
    shares = {n: play.clients[n].share(roster) for n in play.names}
    received = play.aggregator.passed_on(shares)
    strange = other.aggregator.roster({n: c.keys() for n, c in other.clients.items()})
    foreign = {n: other.clients[n].share(strange) for n in other.names}
    victim = play.names[0]
    swapped = Shares(
        received[victim].names,
        tuple(
            dict(zip(foreign[n].names, foreign[n].sealed, strict=True))[victim]
            for n in received[victim].names
        ),
    )
    for name in play.names:
        play.clients[name].mask(play.masked[name], swapped if name == victim else received[name])
    survivors = play.aggregator.survivors(set(play.names))
    consents = play.aggregator.consents({n: play.clients[n].consent(survivors) for n in play.names})
    with pytest.raises(AtollError, match="ATL-SUM-015"):
        play.clients[victim].open(consents)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1e-6, 1e6),
    st.integers(1, 5000),
    st.sampled_from([32, 64]),
    st.integers(0, 2**32),
)
def test_fixed_point_sums_are_within_their_stated_error(
    bound: float, clients: int, bits: int, seed: int
) -> None:
    form = FixedPoint(bound, clients, bits)
    generator = np.random.default_rng(seed)
    shown = min(clients, 40)
    values = generator.uniform(-bound, bound, (shown, 5))
    values[:, 0] = bound
    total = sum((form.encode(row) for row in values), np.zeros(5, form.dtype))
    error = np.abs(form.decode(total) - values.sum(axis=0)).max()
    assert error <= shown * (0.5 / form.scale + bound * 2**-46)
    # The greatest sum that all clients together can give still fits.
    assert (bound * form.scale + 0.5) * clients < 2.0 ** (bits - 1)


@pytest.mark.parametrize("value", [8.1, -8.1, np.inf, np.nan])
def test_a_value_out_of_range_is_its_owners_error(value: float) -> None:
    with pytest.raises(AtollError, match="ATL-SUM-002"):
        FixedPoint(8, 10).encode(np.array([0.0, value]))
