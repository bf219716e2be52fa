"""Rounds over clients that come from outside, in one process; the messages are the real ones."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from atoll.core.clock import SystemClock
from atoll.core.errors import AtollError, CancelledError, PeerError, UserError
from atoll.core.random import PublicRandom, SecretRandom
from atoll.learning.horizontal.conditions import Condition, Eligibility
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.attendance import Pace, RoundRules
from atoll.learning.horizontal.population.clients import OutboundClients
from atoll.learning.horizontal.population.coordinator import Coordinator
from atoll.learning.horizontal.population.drawing import AmongPresent
from atoll.learning.horizontal.population.terms import PopulationTerms, read_terms
from atoll.learning.horizontal.population.work import PopulationWork, epsilon, sentences
from atoll.learning.horizontal.rounds import LATE, REPEATED, Closing
from atoll.learning.horizontal.selection.pool import Pool
from atoll.learning.horizontal.training import Training
from tests.learning.horizontal.population.helpers import rows, terms_with, visit

RULES = RoundRules(pace=Pace(least=0.01), closing=Closing(limit=20), fetch=10, window=0)


def population(
    terms: PopulationTerms, members: int
) -> tuple[PopulationWork, Coordinator, OutboundClients]:
    work = PopulationWork(terms)
    made = Coordinator(RULES, terms.eligibility, SecretRandom())
    clients = OutboundClients(work, made, SystemClock(), asked=members)
    for number in range(members):
        clients.register(number)
    return work, made, clients


def opened(
    terms: PopulationTerms, members: int = 1
) -> tuple[PopulationWork, OutboundClients, threading.Thread, list[Any]]:
    """Open a round for all members in a thread; its result, or its error, ends up in the list."""
    work, made, clients = population(terms, members)
    found: list[Any] = []

    def ask() -> None:
        state = work.algorithm.start(work.model.initial(np.random.default_rng(0)))
        try:
            found.append(clients.ask(0, work.algorithm.message(state), np.arange(members)))
        except AtollError as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not made.busy:
        threading.Event().wait(0.001)
    return work, clients, thread, found


def task(clients: OutboundClients, work: PopulationWork, number: int = 0) -> messages.Task:
    ask = messages.CheckIn.of(work.terms.digest, Condition(), frozenset())
    answer = clients.check_in(number, ask)
    assert isinstance(answer, messages.Task)
    return answer


def test_full_batches_over_a_population_are_training_on_all_rows() -> None:
    work, _, clients = population(terms_with(), 5)
    stop = threading.Event()

    def come_and_go(number: int) -> None:
        while not stop.is_set():
            visit(clients, work, number, rows(number, 20 + 10 * number))
            stop.wait(0.005)

    threads = [threading.Thread(target=come_and_go, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    try:
        training = Training(work.algorithm, Participation(count=5), 4, eligible=clients.eligible)
        state = work.algorithm.start(work.model.initial(np.random.default_rng(0)))
        assert clients.gather(5, 5)
        end = training.run(
            state, clients, PublicRandom(b"0" * 32), [lambda _: not clients.gather(5, 5, 0.01)]
        )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    whole = [rows(n, 20 + 10 * n) for n in range(5)]
    matrix, labels = (
        np.concatenate(p) for p in zip(*((w.rows, w.targets) for w in whole), strict=True)
    )
    weights = work.model.initial(np.random.default_rng(0)).astype(np.float64)
    gradient = np.empty_like(weights)
    for _ in range(4):
        work.model.gradient_of(weights)(matrix.astype(np.float64), labels, gradient)
        weights -= 0.5 * gradient
    np.testing.assert_allclose(end.weights, weights, atol=2e-6)
    assert np.abs(weights).max() > 0.1


def test_an_update_enters_once_and_a_failed_client_is_not_waited_for() -> None:
    work, clients, thread, found = opened(terms_with(), 2)
    first = task(clients, work, 0)
    assert visit(clients, work, 0, rows(0)) == ""
    assert clients.finish(0, messages.Finish(first.token, np.zeros(1))) == REPEATED
    other = task(clients, work, 1)
    assert clients.failed(1, messages.Failed(other.token, "ATL-HOR-011")) == ""
    assert clients.failed(1, messages.Failed(other.token, "ATL-HOR-011")) == LATE
    thread.join(10)
    answers = found[0]
    assert answers.answered == 1
    assert answers.failures == {1: "ATL-HOR-011"}
    assert answers.refused == {REPEATED: 1}


@pytest.mark.parametrize("what", ["short", "nan", "gap", "weight", "long", "negative"])
def test_what_does_not_keep_to_the_terms_is_not_summed(what: str) -> None:
    training = {"clip": 1.0} if what == "long" else {}
    work, clients, thread, found = opened(terms_with(training, most_rows=100))
    given = task(clients, work)
    size = work.form.size
    values = np.zeros(size + (what == "short"), np.float32)[1 if what == "short" else 0 :]
    values = values[:-1] if what == "short" else values
    if what == "gap":
        values = values[1:]
    if what == "nan":
        values[0] = np.nan
    if what == "long":
        values[:] = 1.0
    numbers = np.zeros(len(work.form.numbers))
    numbers[work.form.numbers.index("rows")] = {"weight": 101.0, "negative": -1.0}.get(what, 40.0)
    code = clients.take(0, messages.Piece(given.token, 1 if what == "gap" else 0, values))
    if not code:
        code = clients.finish(0, messages.Finish(given.token, numbers))
    assert code == "ATL-POP-003"
    thread.join(10)
    answers = found[0]
    assert answers.total is None
    assert answers.failures == {0: "ATL-POP-003"}


def test_a_piece_may_come_twice_and_a_foreign_token_changes_nothing() -> None:
    work, clients, thread, found = opened(terms_with())
    given = task(clients, work)
    values = np.arange(work.form.size, dtype=np.float32)
    assert clients.take(0, messages.Piece(b"x" * 16, 0, values)) == LATE
    with pytest.raises(PeerError):
        clients.fetch(0, messages.Fetch(b"x" * 16, 0))
    for _ in range(2):
        assert clients.take(0, messages.Piece(given.token, 0, values)) == ""
    assert clients.finish(0, messages.Finish(given.token, np.array([40.0]))) == ""
    thread.join(10)
    np.testing.assert_array_equal(found[0].total.vectors["gradient"], values)


def test_who_is_removed_within_a_round_does_not_enter_it() -> None:
    work, clients, thread, found = opened(terms_with())
    given = task(clients, work)
    values = np.zeros(work.form.size, np.float32)
    assert clients.take(0, messages.Piece(given.token, 0, values)) == ""
    clients.end(0)
    with pytest.raises(UserError) as caught:
        clients.finish(0, messages.Finish(given.token, np.array([40.0])))
    assert caught.value.code == "ATL-POP-004"
    thread.join(10)
    assert found[0].failures == {0: "ATL-POP-004"}


def test_a_stopped_population_leaves_its_round() -> None:
    _, clients, thread, found = opened(terms_with())
    clients.stop()
    thread.join(10)
    assert isinstance(found[0], CancelledError)
    assert not clients.gather(1, 1)


def test_updates_that_would_not_fit_into_memory_are_refused_at_the_start() -> None:
    work = PopulationWork(terms_with())
    made = Coordinator(RULES, Eligibility(), SecretRandom())
    with pytest.raises(UserError) as caught:
        OutboundClients(work, made, SystemClock(), asked=10, memory=4 * 10 * work.form.size - 1)
    assert caught.value.code == "ATL-POP-010"


def test_a_round_finds_the_few_that_are_there_among_very_many() -> None:
    pace = Pace(rate=1e6, least=5, grace=30)
    rules = RULES.model_copy(update={"pace": pace})
    made = Coordinator(rules, Eligibility(), SecretRandom())
    made.register(199_999)
    there = set(range(0, 200_000, 1500))
    stays = [made.check_in(number, Condition(), 0.0).wait for number in there]
    now = max(stays)
    pool = Pool(200_000, eligible=lambda some: made.present(some, now))
    drawn = AmongPresent(count=100).select(pool, np.random.default_rng(0))
    assert len(drawn) == 100 == len(set(drawn.tolist()))
    assert set(drawn.tolist()) <= there
    assert len(Participation(count=100).select(pool, np.random.default_rng(0))) < 50


def test_a_client_shows_no_more_of_its_machine_than_the_terms_ask() -> None:
    machine = Condition(battery=0.5, charging=True, link="wifi", storage=9, memory=9, cores=9)
    nothing = messages.CheckIn.of(b"0" * 32, machine, terms_with().asked_conditions)
    assert nothing.condition() == Condition()
    asked = terms_with(eligibility=Eligibility(battery=0.2, link="4g")).asked_conditions
    some = messages.CheckIn.decode(messages.CheckIn.of(b"0" * 32, machine, asked).encode())
    assert some.condition() == Condition(battery=0.5, charging=True, link="wifi")


def test_with_noise_what_leaves_is_not_the_update() -> None:
    training = {"algorithm": "fedavg", "weighting": "equal", "clip": 1.0}
    work = PopulationWork(terms_with(training, noise=2.0, tasks=10).require_possible())
    sent = work.algorithm.message(
        work.algorithm.start(work.model.initial(np.random.default_rng(0)))
    )
    made = [work.perform(rows(0), sent, SecretRandom())[0] for _ in range(200)]
    clean = PopulationWork(terms_with(training)).perform(rows(0), sent, SecretRandom())[0]
    spread = np.std(np.stack(made) - clean)
    assert spread == pytest.approx(2.0, rel=0.15)
    assert not any(np.array_equal(one, clean) for one in made)
    # 10 Gaussians at sensitivity 2 (all rows replaced) and deviation 2: mu = sqrt(10).
    found = epsilon(work.terms)
    assert found is not None
    assert found == pytest.approx(20.0, rel=0.15)
    assert any(f"ε {found:.3g}" in line for line in sentences(work.terms, found))


def test_terms_are_read_as_they_were_signed_or_not_at_all() -> None:
    terms = terms_with(eligibility=Eligibility(battery=0.2), noise=None)
    assert read_terms(terms.document()) == terms
    for broken in (terms.document()[:-1], b"", terms.document() + b"\0"):
        with pytest.raises(UserError) as caught:
            read_terms(broken)
        assert caught.value.code == "ATL-POP-001"


@pytest.mark.parametrize(
    ("training", "named"),
    [
        ({"sum": "masked", "minimum_clients": 3}, {}),
        ({"algorithm": "scaffold"}, {}),
        ({"algorithm": "fedavg"}, {"noise": 1.0}),
        ({"algorithm": "fedavg", "clip": 1.0}, {"noise": 1.0}),
        ({"algorithm": "fedsgd", "clip": 1.0, "weighting": "equal"}, {"noise": 1.0}),
    ],
)
def test_what_no_population_can_keep_to_is_refused(
    training: dict[str, object], named: dict[str, object]
) -> None:
    with pytest.raises(UserError) as caught:
        terms_with(training, **named).require_possible()
    assert caught.value.code == "ATL-POP-002"


def test_clients_drawn_by_rows_count_alike() -> None:
    work = PopulationWork(terms_with())
    made = Coordinator(RULES, Eligibility(), SecretRandom())
    clients = OutboundClients(work, made, SystemClock(), asked=3, by_rows=True)
    found: list[Any] = []
    for number in range(3):
        clients.register(number)
    np.testing.assert_array_equal(clients.rows(np.arange(3)), [1.0, 1.0, 1.0])
    state = work.algorithm.start(work.model.initial(np.random.default_rng(0)))
    sent = work.algorithm.message(state)
    thread = threading.Thread(target=lambda: found.append(clients.ask(0, sent, np.arange(2))))
    thread.start()
    while not made.busy:
        threading.Event().wait(0.001)
    assert visit(clients, work, 0, rows(0, 20)) == ""
    assert visit(clients, work, 1, rows(1, 60)) == ""
    thread.join(20)
    parts = [
        work.perform(rows(n, size), sent, SecretRandom())[0] / size
        for n, size in ((0, 20), (1, 60))
    ]
    total = found[0].total
    np.testing.assert_allclose(total.vectors["gradient"], sum(parts), rtol=1e-5)
    assert total.numbers["rows"] == 2
    # Who has not answered yet counts as the mean of those that have.
    np.testing.assert_array_equal(clients.rows(np.array([2, 0, 1])), [40.0, 20.0, 60.0])


def test_among_those_that_are_there_draws_are_by_rows() -> None:
    sizes = np.array([1.0, 0.0, 1000.0, 1.0, 1000.0, 1000.0])
    pool = Pool(6, eligible=lambda some: some != 2, rows=lambda some: sizes[some])
    draw = AmongPresent(method="weighted", count=2)
    drawn = [draw.select(pool, np.random.default_rng(n)).tolist() for n in range(50)]
    assert sum(found == [4, 5] for found in drawn) > 40
    assert not any(2 in found or 1 in found for found in drawn)
