"""What a feature step is: a few rounds of sums over clients, then a result.

A step is an ``Algorithm``, so the loop, the simulation, nodes and outbound clients drive it as they
drive a training. Nothing but the sum of the clients' updates is used, so a secure sum can stand
behind each. All values of an update lie within ± the client's rows (the step says so where they do
not), counts are exact. Each round's sums are of the clients that answered in that round, and a
result is made of one round's sums alone: a client that fails takes its rows out of it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, PeerError, UserError
from atoll.core.random import PublicRandom
from atoll.learning.horizontal.algorithm import Algorithm, State, Vectors
from atoll.learning.horizontal.layout import Layout, Vector
from atoll.learning.horizontal.models.api import Gradient, Rows
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.sums import MOST_NUMBER, Extent, Update, greatest
from atoll.learning.horizontal.training import Callback, Clients, Round, Training

Floats = npt.NDArray[np.float64]
ROWS = "rows"


class FeatureStep(Algorithm):
    """An algorithm that ends by itself; its parameters are its fields."""

    @property
    @abstractmethod
    def most_rounds(self) -> int:
        """The rounds that it takes at most, if each is answered."""

    @abstractmethod
    def begin(self, columns: int) -> State:
        """Return the state before the first round, for tables of so many columns."""

    @abstractmethod
    def finished(self, state: State) -> bool:
        """Return whether no further round is needed."""

    def start(self, weights: Vector) -> State:
        """See ``Algorithm.start``; ``weights`` is that of ``TableColumns``, float[columns]."""
        return self.begin(len(weights))

    def ended(self, done: Round) -> bool:
        """End a training once it is finished: a callback of ``Training.run``."""
        return self.finished(done.state)


@dataclass(frozen=True)
class StepSizes:
    """What a step sends at most, in values: in a message, in one update, in all of a client's."""

    message: int
    update: int
    total: int


class PartyStep(FeatureStep):
    """A step that the parties of a job run: clients hold the aggregator to its rounds and sizes."""

    @property
    def row_bound(self) -> float:
        """The most that one row adds to a value of an update, in absolute value."""
        return 1.0

    @property
    def kept_every(self) -> int:
        """After how many rounds states are kept for an attempt after this one."""
        return 1

    @property
    def lasting(self) -> tuple[str, ...]:
        """What a client keeps that it cannot work out again from the aggregator's message."""
        return ()

    def possible(self, found: Update, of: Extent) -> bool:
        """See ``Algorithm.possible``: sums of at most so many rows, each within ``row_bound``."""
        rows = found.numbers[ROWS]
        whole = 0 <= rows <= of.rows and rows == round(rows)
        each = all(greatest(v) <= self.row_bound * rows for v in found.vectors.values())
        return whole and each and all(0 <= n < MOST_NUMBER for n in found.numbers.values())

    @abstractmethod
    def sizes(self, columns: int) -> StepSizes:
        """Return how much is sent for tables of so many columns."""

    @abstractmethod
    def asked(self, sent: Vectors) -> tuple[str, int]:
        """Return what a message asks for, and how often a client may be asked for it.

        Errors: ATL-HOR-100 for what is no message of this step.
        """


@dataclass(frozen=True)
class TableColumns:
    """Stands in a model's place where columns are summed and no gradient is taken."""

    columns: int

    @cached_property
    def layout(self) -> Layout:
        """See ``Model.layout``."""
        return Layout((("columns", (self.columns,)),))

    def initial(self, generator: np.random.Generator) -> Vector:
        """See ``Model.initial``."""
        return np.zeros(self.columns)

    def gradient_of(self, weights: Vector) -> Gradient:
        """Refuse. Errors: ATL-HOR-103."""
        raise no_gradient()

    def predict(self, weights: Vector, rows: Rows) -> Rows:
        """Refuse. Errors: ATL-HOR-103."""
        raise no_gradient()


def no_gradient() -> UserError:
    """Return the refusal to train by gradients what is made of sums."""
    return UserError(
        "ATL-HOR-103",
        "features and trees are made of sums, no gradient of weights trains them",
        hint="take a model of atoll.learning.horizontal.models for this algorithm",
    )


def run_step(
    step: FeatureStep,
    clients: Clients,
    columns: int,
    public: PublicRandom,
    state: State | None = None,
    callbacks: Sequence[Callback] = (),
) -> State:
    """Run a step with all clients in each round and return its last state.

    ``state`` may come from a checkpoint. Errors: ATL-HOR-030 no client answered.
    """
    training = Training(step, Participation(method="all"), step.most_rounds)
    state = step.begin(columns) if state is None else state
    if step.finished(state):
        return state
    return training.run(state, clients, public, (*callbacks, step.ended))


def received(sent: Vectors, name: str, size: int | None = None) -> Floats:
    """Return a vector of the aggregator's message, float64[size], finite. Errors: ATL-HOR-100."""
    vector = sent.get(name)
    if vector is None or vector.ndim != 1 or size not in (None, len(vector)):
        raise wrong_message(name)
    if not np.isfinite(vector).all():
        raise wrong_message(name)
    return np.asarray(vector, dtype=np.float64)


def wrong_message(name: str) -> PeerError:
    """Return the refusal of a message that does not fit this client's table."""
    return PeerError(
        "ATL-HOR-100",
        f"{name!r} of the aggregator's message does not fit this client's table",
        hint="all clients need the same columns in the same order, and equal parameters",
    )


def summed(total: Update, name: str, size: int) -> Floats:
    """Return a vector of a round's sum, float64[size]. Errors: ATL-HOR-101."""
    vector = total.vectors.get(name)
    if vector is None or vector.shape != (size,):
        raise PeerError("ATL-HOR-101", f"the clients' sum has no {name!r} of {size} values")
    return np.asarray(vector, dtype=np.float64)


def are_counts(vector: Vector) -> bool:
    """Return whether all values are counts: whole, and not negative."""
    return bool((vector >= 0).all() and (vector == np.rint(vector)).all())


def unfinished(what: str) -> DataError:
    """Return the refusal of a result whose rounds did not end, or that saw no row."""
    return DataError(
        "ATL-HOR-102",
        f"{what}: the rounds that it takes did not end, or no client had rows",
        hint="run the step until its callback ends it; look at the failures of its rounds",
    )


def numbers(rows: Rows) -> Floats:
    """Return a table as float64[n, columns], NaN for missing. Errors: ATL-BIN-001, ATL-BIN-002."""
    values = np.asarray(rows, dtype=np.float64)
    if values.ndim != 2:
        raise UserError("ATL-BIN-002", "features must be float64[rows, columns]")
    if np.isinf(values).any():
        raise DataError(
            "ATL-BIN-001", "a feature is infinite", hint="use an empty field for missing values"
        )
    return values
