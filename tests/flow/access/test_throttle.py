from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from atoll.flow.access.throttle import MOST_KEYS, Throttle
from tests.flow.access.support import Wall


def exhaust(throttle: Throttle, key: str, times: int) -> None:
    for _ in range(times):
        assert throttle.attempt(key) == 0.0


def test_waits_grow_after_the_free_failures_up_to_the_longest() -> None:
    wall = Wall()
    throttle = Throttle(wall, free=3, longest_seconds=10)
    exhaust(throttle, "eve", 3)
    waits = []
    for _ in range(7):
        assert throttle.attempt("eve") == 0.0
        waits.append(throttle.attempt("eve"))
        wall.now += waits[-1]
    assert waits == [1, 2, 4, 8, 10, 10, 10]


def test_other_keys_are_free_and_success_forgets() -> None:
    throttle = Throttle(Wall(), free=1)
    exhaust(throttle, "eve", 2)
    assert throttle.attempt("eve") > 0
    assert throttle.attempt("bob") == 0.0
    throttle.succeeded("eve")
    exhaust(throttle, "eve", 2)


def test_after_a_long_pause_the_waits_begin_small_again() -> None:
    wall = Wall()
    throttle = Throttle(wall, free=1, longest_seconds=100)
    for _ in range(12):
        wall.now += throttle.attempt("eve")
    wall.now += 1000
    assert throttle.attempt("eve") == 0.0
    assert throttle.attempt("eve") == 1.0


def test_attempts_at_the_same_time_do_not_slip_through() -> None:
    throttle = Throttle(Wall(), free=5)
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: throttle.attempt("eve"), range(200)))
    assert sum(wait == 0.0 for wait in waits) == 6


def test_memory_is_bounded() -> None:
    throttle = Throttle(Wall(), free=0)
    for number in range(MOST_KEYS + 10):
        throttle.attempt(str(number))
    assert throttle.state("0") == (0, 0.0)
    assert throttle.state(str(MOST_KEYS + 9))[0] == 1


@given(st.lists(st.floats(0, 2000), max_size=40), st.integers(0, 5))
def test_a_wait_is_never_longer_than_the_longest(pauses: list[float], free: int) -> None:
    wall = Wall()
    throttle = Throttle(wall, free=free, longest_seconds=60)
    for pause in pauses:
        assert 0 <= throttle.attempt("eve") <= 60
        wall.now += pause
