"""Clients of one process: thousands, in blocks over threads, without a topology.

A block of clients is a unit of work and its updates are added in order, as are the blocks; so the
same seed gives the same bits with any number of threads. NumPy's kernels release the interpreter's
lock, so threads share the cores where a step's products are large; processes would do so for the
smallest models, too, but each client's rows and results would have to travel between them. Nothing
is kept of a round but what clients keep by their algorithm, and the last failures' tracebacks.
"""

from __future__ import annotations

import functools
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import ThreadpoolController

from atoll.core.errors import AtollError, UserError
from atoll.core.random import DerivedRandom, PublicRandom, SecretRandom
from atoll.learning.horizontal.algorithm import WEIGHTS, Algorithm, ClientWork, Vectors
from atoll.learning.horizontal.local import ClientRows, LocalWork
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.participation import ClientReport
from atoll.learning.horizontal.participation import Clients as Numbers
from atoll.learning.horizontal.postprocess.api import Passage, Stage
from atoll.learning.horizontal.postprocess.chain import Chain, RoundRandom
from atoll.learning.horizontal.robust import Rule, weight_for
from atoll.learning.horizontal.sums import Running, Update, joined, total
from atoll.learning.horizontal.training import Answers

BLOCK = 8
# Values of a model whose updates are held until a block of clients is done.
MOST_HELD = 1 << 20
AGGREGATOR = -1
SecretSource = Callable[[int, int], SecretRandom]
MOST_TRACEBACKS, MOST_CHARACTERS = 100, 8192


@dataclass(frozen=True)
class Task:
    """One client's turn: ``round`` is what its batches are drawn by, ``sent`` what it is sent.

    At most ``steps`` local steps are taken (None: as many as the algorithm has); ``scale``
    multiplies the vectors of its update, not its numbers.
    """

    number: int
    round: int
    sent: Vectors
    steps: int | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class _Block:
    answers: Answers
    tracebacks: dict[int, str]
    updates: Mapping[int, Update]


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
    repeat, and protects nothing. ``own`` gives what a client draws batches by, as ``own_random``
    does between parties; None: ``public``. ``threads`` changes the time alone. A client that fails
    counts as one that did not answer; its traceback stays in ``tracebacks`` (the last 100), and the
    loop is given its code. With ``reporting`` each client reports its loss, its rows and what it
    took. With a ``rule`` single updates are held until all are there (clients of a round × values),
    and it takes the place of the sum; so they are for an algorithm that needs them ``separate``.
    Errors: ATL-HOR-109, ATL-HOR-110, ATL-HOR-114 a rule or an algorithm that needs single updates
    where there are none; of ``ask``: ATL-HOR-044 reports beside a mask.
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
    own: Callable[[int], DerivedRandom] | None = None
    reporting: bool = False
    rule: Rule | None = None
    _before: dict[int, Vectors | None] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._require_singles()

    def ask(self, round_: int, message: Vectors, chosen: Numbers) -> Answers:
        """Train the chosen clients and add up what they give, in the order of their numbers."""
        return self.work([Task(number, round_, message) for number in chosen.tolist()], round_)

    def work(self, tasks: Sequence[Task], round_: int) -> Answers:
        """Do these tasks and return the sum that the algorithm takes, added in their order.

        No client may occur twice. ``round_`` is what the aggregator's side of the chain draws by.
        """
        # The chain may have changed since this object was made.
        self._require_no_mask()
        self._require_singles()
        if self.algorithm.separate:
            answers, updates = self._run(tasks, single=True)
            return replace(answers, total=joined(updates))
        answers = self._summed(tasks) if self.rule is None else self._combined(tasks, self.rule)
        if answers.total is None:
            return answers
        secret = self.secret(round_, AGGREGATOR)
        passage = Passage(RoundRandom(self.public, round_), _generator(), secret=secret)
        whole = self.chain.aggregate(answers.total, self.model.layout.size, passage)
        return replace(answers, total=whole)

    def _summed(self, tasks: Sequence[Task]) -> Answers:
        return self._run(tasks, single=False)[0]

    def _combined(self, tasks: Sequence[Task], rule: Rule) -> Answers:
        weight = weight_for(rule, self.algorithm, self.chain)
        answers, updates = self._run(tasks, single=True)
        return replace(answers, total=rule.combine(list(updates.values()), weight))

    def _require_singles(self) -> None:
        if self.rule is not None:
            weight_for(self.rule, self.algorithm, self.chain)
        if self.algorithm.separate and self.chain.links:
            raise UserError(
                "ATL-HOR-114",
                f"{type(self.algorithm).__name__} needs each client's update as it is, and "
                f"{type(self.chain.links[0]).__name__} hides or changes it",
                hint="leave the postprocessors out, or train one model for all (Ditto, FedRep)",
            )

    def _run(self, tasks: Sequence[Task], *, single: bool) -> tuple[Answers, dict[int, Update]]:
        self._before = {task.number: self.kept.get(task.number) for task in tasks}
        blocks = [tasks[i : i + BLOCK] for i in range(0, len(tasks), BLOCK)]
        # Threads of the BLAS beside ours would wait for each other: a step's products are small.
        with _blas().limit(limits=1), ThreadPoolExecutor(self.threads) as pool:
            work = functools.partial(self._block, single=single)
            done = _ahead(pool, work, blocks, 2 * self.threads)
            return self._joined(done if self.threads > 1 else map(work, blocks))

    def take_back(self) -> None:
        """Give each client of the last round what it had kept before."""
        for number, kept in self._before.items():
            if kept is None:
                self.kept.pop(number, None)
            else:
                self.kept[number] = kept
        self._before = {}

    def saved(self) -> Vectors:
        """Return what all clients keep, for a checkpoint."""
        return {f"{n}.{name}": v for n, kept in self.kept.items() for name, v in kept.items()}

    def restore(self, vectors: Vectors) -> None:
        """Take over what ``saved`` returned."""
        self.kept.clear()
        for key, vector in vectors.items():
            number, _, name = key.partition(".")
            self.kept[int(number)] = {**self.kept.get(int(number), {}), name: vector}

    def _block(self, block: Sequence[Task], *, single: bool) -> _Block:
        updates: dict[int, Update] = {}
        failures: dict[int, str] = {}
        tracebacks: dict[int, str] = {}
        reports: dict[int, ClientReport] = {}
        generator, running, answered = _generator(), Running(), 0
        # Small vectors are added together, block by block in the cache; large ones as they come.
        holds = single or self.model.layout.size <= MOST_HELD
        for task in block:
            number = task.number
            own = self.public if self.own is None else self.own(number)
            own.renew(generator, f"client {number}", task.round, "training")
            try:
                update, kept, report = self._train(task, generator)
            except Exception as error:
                failures[number] = error.code if isinstance(error, AtollError) else "ATL-HOR-031"
                tracebacks[number] = traceback.format_exc()[-MOST_CHARACTERS:]
                continue
            answered += 1
            if holds:
                updates[number] = update
            else:
                running.add(update)
            # No name may hold a large update while the next client trains.
            del update
            if kept:
                self.kept[number] = kept
            if report is not None:
                reports[number] = report
        added = None
        if not single:
            added = total(updates.values()) if holds else running.total()
        answers = Answers(added, answered, failures, reports)
        return _Block(answers, tracebacks, updates if single else {})

    def _train(
        self, task: Task, generator: np.random.Generator
    ) -> tuple[Update, Vectors, ClientReport | None]:
        kept = self.kept.get(task.number, {})
        work = ClientWork(
            model=self.model,
            sent=self.algorithm.sent_to(task.sent, task.number),
            kept=kept,
            data=self.data(task.number),
            generator=generator,
            clients=self.registered,
        )
        report = self._report(work) if self.reporting else None
        result = bounded(self.algorithm, task.steps).client(work)
        result.update.check()
        carried = {name: v for name, v in kept.items() if name not in result.kept}
        secret = self.secret(task.round, task.number)
        passage = Passage(RoundRandom(self.public, task.round), generator, carried, secret)
        update = self.chain.client(result.update, passage).scaled(task.scale)
        return update, {**passage.kept, **result.kept}, report

    def _report(self, work: ClientWork) -> ClientReport:
        rows = len(work.data)
        if not rows:
            return ClientReport(0.0, 0)
        loss = work.model.gradient_of(work.sent[WEIGHTS]).loss(work.data.rows, work.data.targets)
        return ClientReport(loss, rows).check()

    def _joined(self, parts: Iterable[_Block]) -> tuple[Answers, dict[int, Update]]:
        running, answered = Running(), 0
        updates: dict[int, Update] = {}
        failures: dict[int, str] = {}
        reports: dict[int, ClientReport] = {}
        for part in parts:
            if part.answers.total is not None:
                running.add(part.answers.total, owned=True)
            answered += part.answers.answered
            failures.update(part.answers.failures)
            reports.update(part.answers.reports)
            updates.update(part.updates)
            self._keep(part.tracebacks)
        return Answers(running.total(), answered, failures, reports), updates

    def _keep(self, tracebacks: Mapping[int, str]) -> None:
        for number, text in tracebacks.items():
            self.tracebacks.pop(number, None)
            self.tracebacks[number] = text
        while len(self.tracebacks) > MOST_TRACEBACKS:
            del self.tracebacks[next(iter(self.tracebacks))]

    def _require_no_mask(self) -> None:
        if self.reporting and any(link.stage == Stage.MASK for link in self.chain.links):
            raise UserError(
                "ATL-HOR-044",
                "clients are to report their own losses, and a mask is to hide what each sends",
                hint="draw the clients uniformly, or leave the mask out",
            )


def bounded(algorithm: Algorithm, steps: int | None) -> Algorithm:
    """Return the algorithm with at most so many local steps, shared out among its trainings.

    Each of them takes one step at least.
    """
    if steps is None:
        return algorithm
    each = max(1, steps // max(1, len(trainings_of(algorithm))))
    return _bounded(algorithm, each)


def _bounded(algorithm: Algorithm, each: int) -> Algorithm:
    changed: dict[str, LocalWork | Algorithm] = {}
    for name, value in _fields(algorithm):
        if isinstance(value, LocalWork):
            changed[name] = value.model_copy(update={"steps": min(each, value.steps or each)})
        elif isinstance(value, Algorithm):
            changed[name] = _bounded(value, each)
    return algorithm.model_copy(update=changed)


def trainings_of(algorithm: Algorithm) -> list[LocalWork]:
    """Return an algorithm's local trainings, with those of the algorithm that it wraps."""
    found: list[LocalWork] = []
    for _, value in _fields(algorithm):
        if isinstance(value, LocalWork):
            found.append(value)
        elif isinstance(value, Algorithm):
            found += trainings_of(value)
    return found


def _fields(algorithm: Algorithm) -> Iterator[tuple[str, object]]:
    for name in type(algorithm).model_fields:
        yield name, getattr(algorithm, name)


def _ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[Sequence[Task]], _Block],
    blocks: Sequence[Sequence[Task]],
    most: int,
) -> Iterator[_Block]:
    """Yield each block's result in order, while at most ``most`` blocks are under way or done."""
    waiting: deque[Future[_Block]] = deque()
    for block in blocks:
        waiting.append(pool.submit(work, block))
        if len(waiting) >= most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@functools.cache
def _blas() -> ThreadpoolController:
    """Return what bounds the threads of NumPy's BLAS; looking for the libraries takes time."""
    return ThreadpoolController().select(user_api="blas")


def _generator() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=0))
