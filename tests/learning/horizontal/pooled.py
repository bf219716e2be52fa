"""Clients of seeded tables, and sums that pass a ring on their way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from atoll.channel.party import Party
from atoll.channel.world import run
from atoll.core.names import Role
from atoll.learning.horizontal.algorithm import Algorithm, State, Vectors
from atoll.learning.horizontal.features import FeatureStep, TableColumns, run_step
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.participation import Clients as Numbers
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.sums import Update, total
from atoll.learning.horizontal.training import Answers, Round
from atoll.operators import secure_sum
from atoll.operators.secure_sum import Implementation, SumInputs, SumParameters
from atoll.operators.secure_sum.fixed_point import FixedPoint
from tests.learning.horizontal.tasks import PUBLIC

Table = np.ndarray[Any, Any]


def parts(table: Table, targets: Table, sizes: list[int]) -> list[ClientRows]:
    """Share a table's rows out in order, by ``sizes``; the last client gets the rest."""
    ends = np.cumsum(sizes)
    pieces = zip(np.split(table, ends), np.split(targets, ends), strict=True)
    return [ClientRows(rows, labels) for rows, labels in pieces]


def clients_of(algorithm: Algorithm, data: list[ClientRows], threads: int = 1) -> SimulatedClients:
    columns = TableColumns(data[0].rows.shape[1])
    return SimulatedClients(algorithm, columns, len(data), data.__getitem__, PUBLIC, threads)


def outcome(step: FeatureStep, data: list[ClientRows], **more: Any) -> State:
    """Run a step over these clients to its end."""
    clients = more.pop("clients", None) or clients_of(step, data)
    state = run_step(step, clients, data[0].rows.shape[1], PUBLIC, **more)
    assert step.finished(state)
    return state


def failing_from(
    step: FeatureStep, data: list[ClientRows], number: int, round_: int
) -> tuple[SimulatedClients, Callable[[Round], None]]:
    """Return clients of whom one fails in ``round_`` and later, and the callback that counts."""
    clients, at = clients_of(step, data), [0]

    def rows(asked: int) -> ClientRows:
        if asked == number and at[0] >= round_:
            raise ValueError("this client is gone")
        return data[asked]

    def count(done: Round) -> None:
        at[0] = done.number + 1

    clients.data = rows
    return clients, count


class Signer:
    """Signs by a hash with the signer's name: no test here forges one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def sign(self, data: bytes) -> bytes:
        return hashlib.sha512(self._name.encode() + data).digest()

    def verify(self, name: str, data: bytes, signature: bytes) -> bool:
        return Signer(name).sign(data) == signature


@dataclass
class RingClients:
    """Simulated clients whose updates are added as ring elements, or by the secure sum itself."""

    inner: SimulatedClients
    bound: float
    implementation: Implementation | None = None
    bits: Any = 64
    seen: list[int] = field(default_factory=list)

    @property
    def registered(self) -> int:
        return self.inner.registered

    def ask(self, round_: int, message: Vectors, chosen: Numbers) -> Answers:
        alone = [self.inner.ask(round_, message, np.array([n])) for n in chosen.tolist()]
        failures = {n: code for answer in alone for n, code in answer.failures.items()}
        given = [answer.total for answer in alone if answer.total is not None]
        like = total(given)
        if like is None:
            return Answers(None, 0, failures)
        flat = [np.concatenate([*u.vectors.values(), list(u.numbers.values())]) for u in given]
        added = self._ring(flat) if self.implementation is None else self._summed(flat)
        self.seen.append(len(added))
        vectors, at = {}, 0
        for name, vector in like.vectors.items():
            vectors[name] = added[at : at + len(vector)]
            at += len(vector)
        numbers = dict(zip(like.numbers, added[at:].tolist(), strict=True))
        return Answers(Update(vectors, numbers), len(given), failures)

    def _ring(self, flat: list[Table]) -> Table:
        form = FixedPoint(self.bound, len(flat), self.bits)
        whole = np.zeros(len(flat[0]), form.dtype)
        for vector in flat:
            whole += form.encode(vector)
        return form.decode(whole)

    def _summed(self, flat: list[Table]) -> Table:
        names = [f"c{i}" for i in range(len(flat))]
        roles = {"hub": Role.AGGREGATOR, **dict.fromkeys(names, Role.CLIENT)}
        parameters = SumParameters(size=len(flat[0]), bound=self.bound, bits=self.bits)
        values = dict(zip(names, flat, strict=True))

        def role(party: Party) -> Any:
            inputs = SumInputs(values.get(party.name), Signer(party.name))
            return secure_sum.run(party, inputs, parameters, str(self.implementation))

        found: Table = run(roles, role).check().results["hub"].total
        return found
