"""Categories that are frequent are found under sums; others keep their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithm import State
from atoll.learning.horizontal.features import Categories, Vocabulary
from atoll.learning.horizontal.local import ClientRows
from tests.learning.horizontal.pooled import RingClients, clients_of, outcome

CITIES = ("Paris", "Łódź", "北京", "New York", "a" * 60)


def _data(columns: list[list[list[str]]]) -> list[ClientRows]:
    """Return clients by columns of text."""
    tables: list[Any] = [np.array(client, dtype=np.str_).T for client in columns]
    return [ClientRows(rows, np.zeros(len(rows))) for rows in tables]


def _drawn(clients: int = 6, seed: int = 0) -> list[ClientRows]:
    g = np.random.default_rng(seed)
    found = []
    for number in range(clients):
        city = g.choice(CITIES, 200, p=[0.4, 0.3, 0.15, 0.1, 0.05])
        street = [f"street {i}" for i in g.integers(0, 1000, 200)]
        code = g.choice(["x", "y", ""], 200)
        if number == 2:
            city[:40] = "only here"
        found.append([city.tolist(), street, code.tolist()])
    return _data(found)


def _pooled(data: list[ClientRows], rows: int, clients: int) -> list[dict[str, int]]:
    found = []
    for column in range(data[0].rows.shape[1]):
        whole = np.concatenate([part.rows[:, column] for part in data])
        names, counts = np.unique(whole, return_counts=True)
        held = [set(part.rows[:, column].tolist()) for part in data]
        found.append(
            {
                str(name): int(count)
                for name, count in zip(names, counts, strict=True)
                if name and count >= rows and sum(name in own for own in held) >= clients
            }
        )
    return found


def _result(data: list[ClientRows], step: Vocabulary) -> tuple[State, Categories]:
    state = outcome(step, data)
    return state, step.result(state)


@pytest.mark.parametrize(("rows", "clients"), [(1, 1), (10, 2), (30, 6)])
def test_the_vocabulary_is_that_of_the_pooled_rows(rows: int, clients: int) -> None:
    data = _drawn()
    # Parts enough that no two of some thousand categories share both hashes.
    step = Vocabulary(minimum_rows=rows, minimum_clients=clients, buckets=1 << 14, parts=1 << 10)
    found = _result(data, step)[1]
    assert list(found.counts) == _pooled(data, rows, clients)
    assert found.unresolved == 0


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8), min_size=1),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=40, deadline=None)
def test_any_text_comes_back(texts: list[list[str]]) -> None:
    data = _data([[client] for client in texts])
    found = _result(data, Vocabulary(minimum_rows=1, minimum_clients=1, buckets=1 << 16))[1]
    assert list(found.counts) == _pooled(data, 1, 1)


def test_one_hot_columns_are_those_of_scikit_learn() -> None:
    data = _drawn()
    found = _result(data, Vocabulary(minimum_rows=30, minimum_clients=2))[1]
    rows = np.concatenate([part.rows for part in data])
    assert found.counts[1] == {}
    known = [sorted(found.counts[at]) for at in (0, 2)]
    theirs = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False)
    assert np.array_equal(found.encode(rows), theirs.fit_transform(rows[:, [0, 2]].astype(object)))
    names = found.names(("city", "street", "code"))
    assert len(names) == found.encode(rows).shape[1]
    assert "city=Paris" in names
    assert found.most_frequent()[0] == "Paris"


def test_a_rare_name_is_in_nothing_that_the_aggregator_is_sent() -> None:
    data = _drawn()
    state, found = _result(data, Vocabulary(minimum_rows=30, minimum_clients=2))
    assert "only here" not in found.counts[0]
    assert found.counts[1] == {}
    # Names are asked for in as many cells as there are frequent categories.
    assert len(state.vectors["cells"]) == sum(len(column) for column in found.counts)


def test_names_that_share_a_cell_are_unresolved_and_never_wrong() -> None:
    data = _drawn()
    exact = _pooled(data, 1, 1)
    found = _result(data, Vocabulary(minimum_rows=1, minimum_clients=1, buckets=16, parts=16))[1]
    assert found.unresolved > 0
    for column, pooled in zip(found.counts, exact, strict=True):
        assert column.items() <= pooled.items()


def test_a_ring_and_any_order_give_the_same_categories() -> None:
    data = _drawn()
    step = Vocabulary(minimum_rows=5)
    whole = outcome(step, data)
    ringed = outcome(step, data, clients=RingClients(clients_of(step, data), 255))
    backwards = outcome(step, data[::-1])
    for other in (ringed, backwards):
        assert all(np.array_equal(other.vectors[n], whole.vectors[n]) for n in whole.vectors)


def test_a_client_that_fails_in_the_last_round_is_left_out_of_the_counts() -> None:
    data = _drawn()
    step = Vocabulary(minimum_rows=5)
    clients = clients_of(step, data)
    state = step.begin(3)
    for round_ in range(3):
        chosen = np.arange(6 if round_ < 2 else 5)
        total = clients.ask(round_, step.message(state), chosen).total
        assert total is not None
        state = step.aggregate(state, total)
    rest = _pooled(data[:5], 5, 2)
    assert all(f.items() <= r.items() for f, r in zip(step.result(state).counts, rest, strict=True))


def test_without_a_frequent_category_the_first_round_is_the_last() -> None:
    data = _data([[["a", "b"]], [["c", "d"]]])
    state, found = _result(data, Vocabulary(minimum_rows=2))
    assert state.round == 1
    assert found.counts == ({},)


def test_what_does_not_fit_is_refused() -> None:
    step = Vocabulary(most_bytes=4)
    with pytest.raises(AtollError, match="ATL-HOR-102"):
        step.result(step.begin(1))
    data = [*_data([[["longer than that"]], [["a"]]]), ClientRows(np.zeros((1, 1)), np.zeros(1))]
    clients = clients_of(step, data)
    answers = clients.ask(0, step.message(step.begin(1)), np.arange(3))
    assert answers.failures == {0: "ATL-HOR-107", 2: "ATL-HOR-107"}
    for places in ([3.0, 2.0], [0.5], [-1.0], [1e9]):
        message = {"stage": np.array([1.0]), "full": np.array(places)}
        assert clients.ask(1, message, np.array([1])).failures == {1: "ATL-HOR-100"}
