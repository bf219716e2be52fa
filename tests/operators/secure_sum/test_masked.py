"""The masked sum: exact for whoever survives, and closed to an aggregator that lies."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.operators.secure_sum.fixed_point import FixedPoint
from atoll.operators.secure_sum.masked import masks
from atoll.operators.secure_sum.masked.messages import (
    Consents,
    Roster,
    Sealed,
    Shares,
    Survivors,
)
from tests.operators.secure_sum.play import Play


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
        play.aggregator.survivors({n: play.views[n] for n in sent})


def test_an_aggregator_cannot_show_two_sets_of_survivors() -> None:
    play = Play(9, 10)
    sent = play.to_masks()
    one, other = (
        Survivors(tuple(names), tuple(play.views[n] for n in names))
        for names in (sent[:8], sent[1:])
    )
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
        play.clients[name].consent(Survivors(play.names, tuple(play.views.values())))


def test_keys_that_a_client_did_not_sign_are_refused() -> None:
    play = Play(4, 10)
    roster = play.roster()
    own, *rest = roster.keys
    mixed = (own, rest[0][:32] + rest[1][32:64] + rest[0][64:], *rest[1:])
    false = Roster(roster.names, mixed, roster.chosen)
    with pytest.raises(AtollError, match="ATL-SUM-011"):
        play.clients[play.names[0]].share(false)


def test_invented_clients_are_refused() -> None:
    play = Play(4, 10)
    roster = play.roster()
    invented = Roster((*roster.names, "d"), (*roster.keys, roster.keys[0]), (*roster.chosen, b""))
    with pytest.raises(AtollError, match="ATL-SUM-010"):
        play.clients[play.names[0]].share(invented)


def test_a_sum_with_one_other_is_refused() -> None:
    play = Play(6, 10)
    roster = play.roster()
    shares = {n: play.clients[n].share(roster) for n in play.names}
    received = play.aggregator.passed_on(shares)[play.names[0]]
    few = Sealed(received.names[:1], received.sealed[:1], play.names[:2])
    with pytest.raises(AtollError, match="ATL-SUM-012"):
        play.clients[play.names[0]].masks(few)


def test_shares_of_another_session_do_not_open() -> None:
    play, other = Play(4, 10), Play(4, 10)
    roster = play.roster()
    shares = {n: play.clients[n].share(roster) for n in play.names}
    received = play.aggregator.passed_on(shares)
    strange = other.roster()
    foreign = {n: other.clients[n].share(strange) for n in other.names}
    victim = play.names[0]
    swapped = Sealed(
        received[victim].names,
        tuple(
            dict(zip(foreign[n].names, foreign[n].sealed, strict=True))[victim]
            for n in received[victim].names
        ),
        received[victim].here,
    )
    for name in play.names:
        play.mask(name, swapped if name == victim else received[name])
    survivors = play.aggregator.survivors(play.views)
    consents = play.aggregator.consents({n: play.clients[n].consent(survivors) for n in play.names})
    # It gives its own share alone, and does not fail: the others' are enough for the sum.
    assert play.clients[victim].open(consents).names == (victim,)


def test_a_client_that_seals_nonsense_for_one_puts_it_out_of_no_sum() -> None:
    play = Play(5, 10)
    roster = play.roster()
    shares = {n: play.clients[n].share(roster) for n in play.names}
    liar, victim = play.names[-1], play.names[0]
    sealed = list(shares[liar].sealed)
    sealed[shares[liar].names.index(victim)] = bytes(len(sealed[0]))
    shares[liar] = Shares(shares[liar].names, tuple(sealed))
    received = play.aggregator.passed_on(shares)
    for name in play.names:
        play.mask(name, received[name])
    total = play.total(list(play.names))
    assert np.array_equal(total, sum(play.vectors.values(), np.zeros(10, np.uint32)))


def test_a_sealing_key_that_is_the_masking_key_names_its_owner() -> None:
    play = Play(4, 10)
    liar = play.clients[play.names[1]]
    liar._masking = liar._sealing
    with pytest.raises(AtollError, match="ATL-SUM-011") as caught:
        play.roster()
    assert caught.value.party == play.names[1]


def test_a_key_of_small_order_ends_the_sum_by_name() -> None:
    play = Play(4, 10)
    keys = {n: play.clients[n].keys() for n in play.names}
    keys[play.names[2]] = dataclasses.replace(keys[play.names[2]], masking=bytes(32))
    with pytest.raises(AtollError, match="ATL-SUM-011") as caught:
        play.aggregator.roster(keys)
    assert caught.value.party == play.names[2]


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


@pytest.mark.parametrize("bits", [32, 64])
def test_a_blocks_mask_is_made_without_those_before_it(bits: int) -> None:
    own = [masks.Mask(b"a" * 32, negative=False), masks.Mask(b"b" * 32, negative=True)]
    whole = np.zeros(100_000, f"<u{bits // 8}")
    masks.add(whole, own, together=1)
    for first in (0, 64, 50_000):
        block = np.zeros(40_000, whole.dtype)
        masks.Masks(own, bits, first).add(block)
        assert np.array_equal(block, whole[first : first + len(block)])
    with pytest.raises(AtollError, match="ATL-SUM-022"):
        masks.Masks(own, bits, 1)


def test_a_survivor_whose_masks_are_with_others_is_refused() -> None:
    play = Play(9, 10)
    roster = play.roster()
    received = play.aggregator.passed_on({n: play.clients[n].share(roster) for n in play.names})
    victim = play.names[3]
    # The aggregator has one client leave out two others, whose shares it keeps back.
    here = tuple(n for n in play.names if n not in play.names[:2])
    kept = dict(zip(received[victim].names, received[victim].sealed, strict=True))
    names = tuple(n for n in kept if n in here)
    cut = Sealed(names, tuple(kept[n] for n in names), here)
    for name in play.names:
        play.mask(name, cut if name == victim else received[name])
    survivors = play.aggregator.survivors(play.views)
    # The victim cannot consent to those whom it was not shown; the others can, and look closer.
    with pytest.raises(AtollError, match="ATL-SUM-013"):
        play.clients[victim].consent(survivors)
    others = [n for n in play.names if n != victim]
    consents = play.aggregator.consents({n: play.clients[n].consent(survivors) for n in others})
    for name in others:
        with pytest.raises(AtollError, match="ATL-SUM-019"):
            play.clients[name].open(consents)


@pytest.mark.parametrize("bits", [32, 64])
def test_whole_numbers_are_summed_as_they_are(bits: int) -> None:
    form = FixedPoint(2.0 ** (bits - 8), 20, bits, unit=1)
    top = int(form.bound)
    values = np.array([top, -top, 12345, 0])
    total = sum((form.encode(values) for _ in range(20)), np.zeros(4, form.dtype))
    assert total.view(form.signed).tolist() == [20 * top, -20 * top, 246900, 0]
    with pytest.raises(AtollError, match="ATL-SUM-021"):
        FixedPoint(8, 20, bits).encode(values)
    with pytest.raises(AtollError, match="ATL-SUM-001"):
        FixedPoint(2.0 ** (bits - 5), 20, bits, unit=1)


def test_float32_is_rounded_as_float64_is() -> None:
    values = np.random.default_rng(0).uniform(-8, 8, 10_000).astype(np.float32)
    for bits in (32, 64):
        form = FixedPoint(8, 20, bits)
        assert np.array_equal(form.encode(values), form.encode(values.astype(np.float64)))
