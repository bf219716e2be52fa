"""Sparse graphs: sound parameters or none, and sums over them that are exact and closed to lies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.operators.secure_sum import SumParameters
from atoll.operators.secure_sum.masked.graph import Graph, sparse
from atoll.operators.secure_sum.masked.messages import Roster, Sealed, Survivors
from atoll.operators.secure_sum.masked.setting import numbers_of
from tests.operators.secure_sum.play import Play

SMALL = Graph(8, 6)
PARAMETERS = SumParameters(size=10, bound=1)
ASSUMED = [(0.05, 0.05), (0.1, 0.1), (1 / 3, 0.05)]


def _above(others: int, marked: int, drawn: int, least: int) -> float:
    """Return how likely ``least`` or more marked ones are drawn, exactly."""
    ways = sum(
        math.comb(marked, x) * math.comb(others - marked, drawn - x)
        for x in range(least, min(marked, drawn) + 1)
    )
    return ways / math.comb(others, drawn)


@pytest.mark.parametrize("clients", [400, 1000])
@pytest.mark.parametrize(("corrupt", "leave"), ASSUMED)
def test_parameters_keep_the_conditions_that_they_state(
    clients: int, corrupt: float, leave: float
) -> None:
    graph = sparse(clients, corrupt, leave)
    assert graph is not None
    k, t, bad = graph.chosen, graph.shares, min(int(corrupt * clients), (clients - 1) // 3)
    # 2 · shares > chosen + corrupt ones, but for 2^-40 over all clients: both secrets stay apart.
    assert clients * _above(clients - 1, bad, k, 2 * t - k) < 2.0**-40
    # Of those chosen enough stay, but for one sum in a million.
    assert clients * _above(clients - 1, math.ceil(leave * clients), k, k - t + 1) < 2.0**-20
    # No set of half of the honest or fewer keeps to itself: here with exact tails, by logarithms.
    honest = clients - bad
    for size in range(2, honest // 2 + 1, 7):
        tail = _above(clients - 1, size - 1 + bad, k, t)
        if tail:
            assert math.log2(math.comb(honest, size)) + size * math.log2(tail) < -41


@pytest.mark.parametrize(("corrupt", "leave"), ASSUMED)
def test_neighbours_grow_far_slower_than_clients(corrupt: float, leave: float) -> None:
    small, large = sparse(1000, corrupt, leave), sparse(4000, corrupt, leave)
    assert small is not None
    assert large is not None
    assert large.chosen < 1.4 * small.chosen


def test_few_clients_share_masks_with_all() -> None:
    assert PARAMETERS.graph_of(20) == Graph(0, 14)
    assert PARAMETERS.graph_of(2000).sparse
    assert not PARAMETERS.model_copy(update={"graph": "complete"}).graph_of(2000).sparse


@pytest.mark.parametrize(("clients", "leave"), [(20, 0.05), (100, 0.1), (3000, 1 / 3)])
def test_where_no_graph_is_sound_it_is_refused(clients: int, leave: float) -> None:
    asked = SumParameters(size=10, bound=1, graph="sparse", leave=leave)
    with pytest.raises(AtollError, match="ATL-SUM-018"):
        asked.graph_of(clients)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    ("gone", "unmasked", "silent"), [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
)
def test_a_sparse_sum_is_exact(bits: int, gone: int, unmasked: int, silent: int) -> None:
    play = Play(24, 5000, bits, Graph(12, 6))
    names = play.names
    sent = play.to_masks(names[:gone], names[3 : 3 + unmasked])
    total = play.total(sent, sent[:silent])
    assert np.array_equal(total, sum(play.vectors[n] for n in sent))


def test_masks_are_with_neighbours_alone() -> None:
    play = Play(40, 10, graph=SMALL)
    roster = play.roster()
    chosen = dict(zip(roster.names, roster.chosen, strict=True))
    received = play.aggregator.passed_on({n: play.clients[n].share(roster) for n in play.names})
    for number, name in enumerate(play.names):
        choosers = {n for n in play.names if number in numbers_of(chosen[n])}
        assert set(received[name].names) == choosers
        own, _ = play.clients[name].masks(received[name])
        neighbours = choosers | {play.names[i] for i in numbers_of(chosen[name])}
        assert len(own) == 1 + len(neighbours)


def test_clients_choose_at_random_and_never_themselves() -> None:
    play = Play(40, 10, graph=SMALL)
    chosen = [numbers_of(c) for c in play.roster().chosen]
    assert all(i not in own and len(set(own)) == 8 for i, own in enumerate(chosen))
    assert len({own.tobytes() for own in chosen}) == 40
    counts = np.bincount(np.concatenate(chosen), minlength=40)
    # 40 times 8 choices: none of them often enough would be one in 10^9.
    assert counts.max() < 30
    assert (counts > 0).sum() > 30


def test_a_choice_that_the_client_did_not_sign_is_refused() -> None:
    play = Play(20, 10, graph=SMALL)
    roster = play.roster()
    steered = (roster.chosen[0], np.arange(2, 10, dtype="<u2").tobytes(), *roster.chosen[2:])
    with pytest.raises(AtollError, match="ATL-SUM-011"):
        play.clients[play.names[0]].share(Roster(roster.names, roster.keys, steered))


@pytest.mark.parametrize(
    "numbers",
    [[], [1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7], [1, 1, 2, 3, 4, 5, 6, 7], [*range(1, 8), 99]],
)
def test_a_choice_against_the_plan_is_refused(numbers: list[int]) -> None:
    play = Play(20, 10, graph=SMALL)
    assert not play.setting.chose_well(play.names[0], np.array(numbers, dtype="<u2").tobytes())
    assert not play.setting.chose_well(play.names[0], b"odd")


def test_a_survivor_without_enough_holders_ends_the_sum() -> None:
    play = Play(24, 10, graph=SMALL)
    roster = play.roster()
    received = play.aggregator.passed_on({n: play.clients[n].share(roster) for n in play.names})
    for name in play.names:
        play.mask(name, received[name])
    lost = {play.names[i] for i in numbers_of(roster.chosen[0])[:3]}
    with pytest.raises(AtollError, match="ATL-SUM-012"):
        play.aggregator.survivors({n: v for n, v in play.views.items() if n not in lost})


def test_a_client_with_few_neighbours_left_gives_nothing() -> None:
    play = Play(24, 10, graph=SMALL)
    roster = play.roster()
    received = play.aggregator.passed_on({n: play.clients[n].share(roster) for n in play.names})
    victim = play.names[0]
    chosen = dict(zip(roster.names, roster.chosen, strict=True))
    lost = {play.names[i] for i in numbers_of(chosen[victim])[:3]}
    here = tuple(n for n in play.names if n not in lost)
    for name in here:
        kept = [
            pair
            for pair in zip(received[name].names, received[name].sealed, strict=True)
            if pair[0] in here
        ]
        play.mask(name, Sealed(tuple(n for n, _ in kept), tuple(s for _, s in kept), here))
    # An honest aggregator would end the sum; this one goes on.
    shown = Survivors(here, tuple(play.views[n] for n in here))
    for name in here:
        with pytest.raises(AtollError, match="ATL-SUM-013"):
            play.clients[name].consent(shown)


def test_what_an_aggregator_sees_of_one_client_is_uniform() -> None:
    play = Play(24, 1 << 14, graph=SMALL)
    for vector in play.masked.values():
        vector[:] = 7
    play.to_masks()
    for vector in play.masked.values():
        counts = np.bincount(vector >> 28, minlength=16)
        # Chi-squared with 15 degrees of freedom: above 70 in one of 10^8 vectors.
        assert ((counts - 1024) ** 2 / 1024).sum() < 70
