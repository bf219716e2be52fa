"""Clients of one process: thousands, in blocks over threads, without a topology.

A block of clients is a unit of work and its updates are added in order, as are the blocks; so the
same seed gives the same bits with any number of threads. Nothing is kept of a round but what
clients keep by their algorithm.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from atoll.core.errors import AtollError
from atoll.core.random import PublicRandom
from atoll.learning.horizontal.algorithm import Algorithm, ClientResult, ClientWork, Vectors
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.participation import Clients as Numbers
from atoll.learning.horizontal.sums import Update, total
from atoll.learning.horizontal.training import Answers

BLOCK = 8


@dataclass
class SimulatedClients:
    """``registered`` clients whose rows ``data`` gives by number, when they are asked.

    ``kept`` holds what clients keep between rounds. ``threads`` changes the time alone. A client
    that fails counts as one that did not answer; its traceback stays in ``tracebacks``, and the
    loop is given its code.
    """

    algorithm: Algorithm
    model: Model
    registered: int
    data: Callable[[int], ClientRows]
    public: PublicRandom
    threads: int = 1
    kept: dict[int, Vectors] = field(default_factory=dict)
    tracebacks: dict[int, str] = field(default_factory=dict)

    def ask(self, round_: int, message: Vectors, chosen: Numbers) -> Answers:
        """Train the chosen clients and add up what they give, in the order of their numbers."""
        numbers = chosen.tolist()
        blocks = [numbers[i : i + BLOCK] for i in range(0, len(numbers), BLOCK)]

        def run(block: list[int]) -> Answers:
            return self._block(round_, message, block)

        if self.threads == 1:
            return _joined([run(block) for block in blocks])
        with ThreadPoolExecutor(self.threads) as pool:
            return _joined(list(pool.map(run, blocks)))

    def _block(self, round_: int, message: Vectors, block: list[int]) -> Answers:
        updates: list[Update] = []
        failures: dict[int, str] = {}
        for number in block:
            try:
                result = self._train(round_, message, number)
            except Exception as error:
                failures[number] = error.code if isinstance(error, AtollError) else "ATL-HOR-031"
                self.tracebacks[number] = traceback.format_exc()
                continue
            updates.append(result.update)
            if result.kept:
                self.kept[number] = result.kept
        return Answers(total(updates), len(updates), failures)

    def _train(self, round_: int, message: Vectors, number: int) -> ClientResult:
        work = ClientWork(
            model=self.model,
            sent=message,
            kept=self.kept.get(number, {}),
            data=self.data(number),
            generator=self.public.generator(f"client {number}", round_, "training"),
            clients=self.registered,
        )
        result = self.algorithm.client(work)
        result.update.check()
        return result


def _joined(parts: list[Answers]) -> Answers:
    failures = {number: code for part in parts for number, code in part.failures.items()}
    sums = total(part.total for part in parts if part.total is not None)
    return Answers(sums, sum(part.answered for part in parts), failures)
