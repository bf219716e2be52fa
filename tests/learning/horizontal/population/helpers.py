"""Terms, coordinators and members of small populations."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from atoll.core.random import SecretRandom
from atoll.learning.horizontal.conditions import Condition
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.clients import Outbound
from atoll.learning.horizontal.population.messages import PIECE
from atoll.learning.horizontal.population.terms import PopulationTerms
from atoll.learning.horizontal.population.work import PopulationWork

TRAINING: dict[str, Any] = {
    "algorithm": "fedsgd",
    "sum": "plain",
    "rounds": 4,
    "learning_rate": 0.5,
    "minimum_clients": 1,
}


def terms_with(training: dict[str, Any] | None = None, **named: Any) -> PopulationTerms:
    whole = HorizontalParameters(**{**TRAINING, **(training or {})})
    base: dict[str, Any] = {
        "aggregator": "acme",
        "population": "phones",
        "training": whole,
        "columns": ("a", "b", "c"),
        "label": "y",
        "until": date(2099, 12, 31),
    }
    return PopulationTerms(**{**base, **named})


def rows(number: int, count: int = 40) -> ClientRows:
    """Rows of a client, float32[count, 3], with labels that follow from them."""
    generator = np.random.default_rng(number)
    matrix = generator.normal(size=(count, 3)).astype(np.float32)
    return ClientRows(matrix, (matrix @ [1.0, -2.0, 0.5] > 0).astype(np.int64))


def visit(clients: Outbound, work: PopulationWork, number: int, data: ClientRows) -> str:
    """Check in once, and do the task if there is one; return ``stay`` or the receipt's code."""
    ask = messages.CheckIn.of(work.terms.digest, Condition(), work.terms.asked_conditions)
    answer = clients.check_in(number, ask)
    if isinstance(answer, messages.Stay):
        return "stay"
    flat = np.empty(work.sent.size, np.float32)
    for first in range(0, len(flat), PIECE):
        piece = clients.fetch(number, messages.Fetch(answer.token, first))
        flat[first : first + PIECE] = piece.values
    made, figures = work.perform(data, work.unpack(flat), SecretRandom())
    for first in range(0, len(made), PIECE):
        part = messages.Piece(answer.token, first, made[first : first + PIECE])
        assert clients.take(number, part) == ""
    return clients.finish(number, messages.Finish(answer.token, figures))
