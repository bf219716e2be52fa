"""Clients of one process: thousands, in blocks over threads, without a topology.

A block of clients is a unit of work and its updates are added in order, as are the blocks; so the
same seed gives the same bits with any number of threads. Nothing is kept of a round but what
clients keep by their algorithm.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import ThreadpoolController

from atoll.core.errors import AtollError
from atoll.core.random import PublicRandom, SecretRandom
from atoll.learning.horizontal.algorithm import Algorithm, ClientWork, Vectors
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.participation import Clients as Numbers
from atoll.learning.horizontal.postprocess.api import Passage
from atoll.learning.horizontal.postprocess.chain import Chain, RoundRandom
from atoll.learning.horizontal.sums import Update, total
from atoll.learning.horizontal.training import Answers

BLOCK = 8
AGGREGATOR = -1
SecretSource = Callable[[int, int], SecretRandom]


def seeded_noise(seed: bytes) -> SecretSource:
    """Return secret sources that follow from ``seed``, one for each round and client.

    Whoever knows the seed can take the noise away: for simulation and tests alone. Errors:
    ATL-SET-001 elsewhere.
    """

    def source(round_: int, number: int) -> SecretRandom:
        return SecretRandom.seeded(seed + f"\0{round_}\0{number}".encode())

    return source


@dataclass
class SimulatedClients:
    """``registered`` clients whose rows ``data`` gives by number, when they are asked.

    ``kept`` holds what clients keep between rounds. ``secret`` gives what a client (or the
    aggregator, number -1) draws noise from in a round; ``seeded_noise`` makes runs with noise
    repeat, and protects nothing. ``threads`` changes the time alone. A client
    that fails counts as one that did not answer; its traceback stays in ``tracebacks``, and the
    loop is given its code.
    """

    algorithm: Algorithm
    model: Model
    registered: int
    data: Callable[[int], ClientRows]
    public: PublicRandom
    threads: int = 1
    chain: Chain = field(default_factory=Chain)
    kept: dict[int, Vectors] = field(default_factory=dict)
    tracebacks: dict[int, str] = field(default_factory=dict)
    secret: SecretSource = lambda round_, number: SecretRandom()

    def ask(self, round_: int, message: Vectors, chosen: Numbers) -> Answers:
        """Train the chosen clients and add up what they give, in the order of their numbers."""
        numbers = chosen.tolist()
        blocks = [numbers[i : i + BLOCK] for i in range(0, len(numbers), BLOCK)]

        def run(block: list[int]) -> Answers:
            return self._block(round_, message, block)

        # Threads of the BLAS beside ours would wait for each other: a step's products are small.
        with _blas().limit(limits=1), ThreadPoolExecutor(self.threads) as pool:
            work = pool.map(run, blocks) if self.threads > 1 else map(run, blocks)
            answers = _joined(list(work))
        if answers.total is None:
            return answers
        secret = self.secret(round_, AGGREGATOR)
        passage = Passage(RoundRandom(self.public, round_), _generator(), secret=secret)
        whole = self.chain.aggregate(answers.total, self.model.layout.size, passage)
        return Answers(whole, answers.answered, answers.failures)

    def _block(self, round_: int, message: Vectors, block: list[int]) -> Answers:
        updates: list[Update] = []
        failures: dict[int, str] = {}
        generator = _generator()
        for number in block:
            self.public.renew(generator, f"client {number}", round_, "training")
            try:
                update, kept = self._train(round_, message, number, generator)
            except Exception as error:
                failures[number] = error.code if isinstance(error, AtollError) else "ATL-HOR-031"
                self.tracebacks[number] = traceback.format_exc()
                continue
            updates.append(update)
            if kept:
                self.kept[number] = kept
        return Answers(total(updates), len(updates), failures)

    def _train(
        self, round_: int, message: Vectors, number: int, generator: np.random.Generator
    ) -> tuple[Update, Vectors]:
        kept = self.kept.get(number, {})
        work = ClientWork(
            model=self.model,
            sent=message,
            kept=kept,
            data=self.data(number),
            generator=generator,
            clients=self.registered,
        )
        result = self.algorithm.client(work)
        result.update.check()
        carried = {name: v for name, v in kept.items() if name not in result.kept}
        secret = self.secret(round_, number)
        passage = Passage(RoundRandom(self.public, round_), generator, carried, secret)
        update = self.chain.client(result.update, passage)
        return update, {**passage.kept, **result.kept}


@functools.cache
def _blas() -> ThreadpoolController:
    """Return what bounds the threads of NumPy's BLAS; looking for the libraries takes time."""
    return ThreadpoolController().select(user_api="blas")


def _joined(parts: list[Answers]) -> Answers:
    failures = {number: code for part in parts for number, code in part.failures.items()}
    sums = total(part.total for part in parts if part.total is not None)
    return Answers(sums, sum(part.answered for part in parts), failures)


def _generator() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=0))
