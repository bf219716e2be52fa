"""A client that dies at any of its messages, before or after it arrived, and starts again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atoll.core.message import Message
from atoll.core.random import SecretRandom
from atoll.learning.horizontal.conditions import Condition
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.book import Book
from atoll.learning.horizontal.population.clients import OutboundClients
from atoll.learning.horizontal.population.member import PopulationMember
from atoll.learning.horizontal.population.work import PopulationWork
from tests.learning.horizontal.population.helpers import rows, terms_with, visit
from tests.learning.horizontal.population.test_clients import opened


class KilledError(BaseException):
    """What a process that is killed runs through, in a test."""


class Direct:
    """Hands requests to an aggregator in this process, and kills its client at one of them."""

    def __init__(
        self, clients: OutboundClients, number: int, dies: tuple[str, bool] | None
    ) -> None:
        self.clients, self.number, self.dies = clients, number, dies

    def __call__(self, what: str, message: Message, *kinds: Any) -> Any:
        if self.dies == (what, False):
            raise KilledError
        answer = self._answer(what, message)
        if self.dies == (what, True):
            raise KilledError
        return answer

    def _answer(self, what: str, message: Any) -> Message:
        clients, number = self.clients, self.number
        match what:
            case "check-in":
                return clients.check_in(number, message)
            case "fetch":
                return clients.fetch(number, message)
            case "piece":
                return messages.Receipt(clients.take(number, message))
            case "finish":
                return messages.Receipt(clients.finish(number, message))
        return messages.Receipt(clients.failed(number, message))


def member(work: PopulationWork, path: Path, ask: Direct) -> PopulationMember:
    return PopulationMember(
        work=work,
        data=rows(0),
        ask=ask,
        book=Book(path, work.terms),
        condition=Condition,
        note=lambda _: None,
        trace=lambda _: None,
        secret=SecretRandom(),
    )


@pytest.mark.parametrize("arrived", [False, True])
@pytest.mark.parametrize("what", ["check-in", "fetch", "piece", "finish"])
def test_a_client_killed_at_a_message_counts_once_or_not_at_all(
    tmp_path: Path, what: str, arrived: bool
) -> None:
    work, clients, thread, found = opened(terms_with(), 2)
    first = member(work, tmp_path / "counts.json", Direct(clients, 0, (what, arrived)))
    with pytest.raises(KilledError):
        first.visit()
    # The process is started again, on the same folder.
    again = member(work, tmp_path / "counts.json", Direct(clients, 0, None))
    for _ in range(3):
        again.visit()
    assert visit(clients, work, 1, rows(1)) == ""
    thread.join(20)
    answers = found[0]
    counted = again.book.counts().tasks
    # After the count it may have answered, so it does not answer again.
    entered = what in ("check-in", "fetch") or (what, arrived) == ("finish", True)
    assert counted == 1
    assert answers.answered == 1 + entered
    assert answers.failures == ({} if entered else {0: "ATL-POP-028"})
    alone = work.perform(rows(1), _sent(work), SecretRandom())[0]
    both = alone + work.perform(rows(0), _sent(work), SecretRandom())[0]
    expected = both if entered else alone
    np.testing.assert_allclose(answers.total.vectors["gradient"], expected, rtol=1e-5)


def _sent(work: PopulationWork) -> dict[str, Any]:
    state = work.algorithm.start(work.model.initial(np.random.default_rng(0)))
    return dict(work.algorithm.message(state))
