"""What both sides make of a population's terms: the model, a task, and what a client may send."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, PeerError, UserError
from atoll.core.random import SecretRandom
from atoll.core.reveal import Reveal
from atoll.learning.horizontal.algorithm import Algorithm, ClientWork, Vectors
from atoll.learning.horizontal.algorithms.fedavg import WEIGHT
from atoll.learning.horizontal.algorithms.fednova import STEPS, FedNova
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.models.build import model_of
from atoll.learning.horizontal.parties.limits import Range
from atoll.learning.horizontal.parties.vectors import Form
from atoll.learning.horizontal.population import messages
from atoll.learning.horizontal.population.terms import PopulationTerms
from atoll.learning.horizontal.postprocess.api import Passage, Postprocessor
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import CLIPPED, Clip, norm
from atoll.learning.horizontal.postprocess.noise import LocalNoise
from atoll.learning.horizontal.sums import Extent, Update
from atoll.models.network.spec import NetworkSpec

Numbers = npt.NDArray[np.float64]
# Far beyond any weight that trains.
_MOST_WEIGHT = 1e30
# Noise is longer, by so many deviations, with a chance below e^-72.
_DEVIATIONS = 12
# Norms of long float32 vectors are right to about this.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class PopulationWork:
    """The objects that terms mean: alike at the aggregator and at each client."""

    terms: PopulationTerms

    @cached_property
    def spec(self) -> NetworkSpec:
        """The form of the model."""
        return self.terms.training.spec(len(self.terms.columns))

    @cached_property
    def model(self) -> Model:
        """The model that trains."""
        return model_of(self.spec, self.terms.training.l2)

    @cached_property
    def algorithm(self) -> Algorithm:
        """How it trains."""
        return self.terms.training.trained_by()

    def chain(self, clients: int = 1) -> Chain:
        """Return what an update passes; ``clients`` answered, as far as the aggregator knows."""
        clip, noise = self.terms.training.clip, self.terms.noise
        links: list[Postprocessor] = [] if clip is None else [Clip(norm=clip)]
        if noise is not None and clip is not None:
            links.append(LocalNoise(norm=clip, multiplier=noise, clients=clients))
        return Chain(tuple(links))

    @cached_property
    def _range(self) -> Range:
        """What an update is within."""
        bound, size = self.terms.training.bound, self.model.layout.size
        return Range(self.algorithm, self.chain(), bound, size)

    @property
    def _extent(self) -> Extent:
        """What stands behind an update: one client, that knows of no other."""
        rows = self.terms.most_rows
        return Extent(1, rows, rows, 1)

    @cached_property
    def sent(self) -> Form:
        """The form of what every client of a round is sent."""
        return Form.of(Update(self._start, {}))

    @cached_property
    def form(self) -> Form:
        """The form of each client's update."""
        return Form.of(self._update(self._no_rows, self._start, SecretRandom()))

    @property
    def _no_rows(self) -> ClientRows:
        return ClientRows(np.empty((0, len(self.terms.columns)), np.float32), np.empty(0))

    @cached_property
    def _start(self) -> Vectors:
        weights = self.model.initial(np.random.default_rng(0))
        return self.algorithm.message(self.algorithm.start(weights))

    def pack(self, message: Vectors) -> Vector:
        """Return a round's vectors in one, float32[sent.size], as they travel."""
        flat, _ = self.sent.flat(Update(message, {}))
        return flat

    def unpack(self, flat: Vector) -> Vectors:
        """Return the vectors of float32[sent.size]. Errors: ATL-POP-003 another size, or a value
        that is not finite, or larger than any of a model that trains.
        """
        if flat.shape != (self.sent.size,) or not _reach(flat) <= _MOST_WEIGHT:
            raise wrong("the model has another size, or a value that no model has")
        return self.sent.update(flat, np.empty(0)).vectors

    def perform(
        self, data: ClientRows, sent: Vectors, secret: SecretRandom
    ) -> tuple[Vector, Numbers]:
        """Train at the client: return the update float32[form.size] and its numbers, float64[k].

        Batches and noise are drawn from ``secret``. Errors: ATL-POP-009 more rows than count,
        ATL-HOR-011 what is not finite, those of the algorithm and the chain.
        """
        self.require_counted(data)
        try:
            return self.form.flat(self._update(data, sent, secret))
        except ArithmeticError as error:
            raise DataError("ATL-HOR-011", "an update has a value that is not finite") from error

    def nothing(self, secret: SecretRandom) -> tuple[Vector, Numbers]:
        """Return the update of a client without rows, as ``perform`` does; noise is drawn."""
        return self.form.flat(self._update(self._no_rows, self._start, secret))

    def require_counted(self, data: ClientRows) -> None:
        """Check that all of a client's rows count. Errors: ATL-POP-009."""
        if len(data) > self.terms.most_rows:
            raise UserError(
                "ATL-POP-009",
                f"the terms count at most {self.terms.most_rows} rows of a client",
                hint="hand in a file with fewer rows",
            )

    def received(self, flat: Vector, numbers: Numbers) -> Update:
        """Return a client's update at the aggregator if it keeps to the terms.

        ``flat`` is float32[form.size], ``numbers`` float64[k]. Whether it makes sense cannot be
        seen: a client may train on rows that it made up. Errors: ATL-POP-003.
        """
        form = self.form
        if flat.shape != (form.size,) or len(numbers) != len(form.numbers):
            raise wrong("it has another size")
        if not np.isfinite(flat).all() or not np.isfinite(numbers).all():
            raise wrong("a value is not finite")
        update = form.update(flat, numbers)
        why = self._range.refusal(update, self._extent)
        if why is not None:
            raise wrong(why)
        self._require_numbers(update)
        self._require_values(update, flat)
        return update

    def _require_numbers(self, update: Update) -> None:
        """Refuse counts that no client of the terms has: they would scale what others sent."""
        numbers, algorithm = update.numbers, self.algorithm
        alike = getattr(algorithm, "weighting", "rows") == "equal"
        rows = 1 if alike else self.terms.most_rows
        for name, most in ((algorithm.stated_weight, rows), (CLIPPED, 1)):
            stated = numbers.get(name or "", 0.0)
            if stated > most or stated != round(stated):
                raise wrong("it weighs what no client of the terms does")
        if isinstance(algorithm, FedNova):
            weight = numbers[WEIGHT]
            done = weight * algorithm.steps(self.terms.most_rows if alike else int(weight))
            least = 0.0 if alike else done * (1 - _TOLERANCE)
            if not least <= numbers[STEPS] <= done * (1 + _TOLERANCE):
                raise wrong("it states steps that the terms do not have")

    def _require_values(self, update: Update, flat: Vector) -> None:
        """Refuse an update longer than the clip and its noise allow."""
        clip, noise = self.terms.training.clip, self.terms.noise
        if clip is None or noise is None:
            return
        deviation = clip * noise
        longest = clip + deviation * (math.sqrt(len(flat)) + _DEVIATIONS)
        largest = clip + _DEVIATIONS * deviation
        # The norm of what is larger may overflow.
        if _reach(flat) > largest * (1 + _TOLERANCE) or norm(update) > longest * (1 + _TOLERANCE):
            raise wrong("it is longer than the clip and its noise allow")

    def require_rows_known(self) -> None:
        """Check that updates state their client's rows, and nothing but a mean is made of them.

        Errors: ATL-POP-036.
        """
        training = self.terms.training
        named = self.algorithm.weighed_by in self.form.numbers
        if training.weighting != "rows" or training.clip is not None or not named:
            raise UserError(
                "ATL-POP-036",
                "clients cannot be drawn by their rows under these terms",
                hint="it needs weighting: rows, no clip, and an algorithm whose updates are means "
                "by rows: draw them uniformly",
            )

    def weight(self, update: Update) -> float:
        """Return the rows that an update states, under terms of ``require_rows_known``."""
        return update.numbers[self.algorithm.weighed_by or ""]

    def alike(self, update: Update) -> Update:
        """Return an update as one of a single row: for clients that were drawn by their rows."""
        rows = self.weight(update)
        if rows <= 0:
            return update
        numbers = {**update.numbers, self.algorithm.weighed_by or "": 1.0}
        return Update(update.scaled(1 / rows).vectors, numbers)

    def added(self, total: Update, answered: int) -> Update:
        """Return the sum of so many updates as the algorithm takes it."""
        passage = Passage({}, np.random.default_rng(0))
        return self.chain(answered).aggregate(total, self.model.layout.size, passage)

    def _update(self, data: ClientRows, sent: Vectors, secret: SecretRandom) -> Update:
        own = np.random.Generator(np.random.Philox(key=int.from_bytes(secret.bytes(16), "big")))
        result = self.algorithm.client(ClientWork(self.model, sent, {}, data, own, 1))
        made = self._range.fitted(result.update.check(), self._extent)
        return self.chain().client(made, Passage({}, own, secret=secret))

    def reveals(self) -> tuple[Reveal, ...]:
        """Return what a client and the aggregator reveal to each other if all tasks are done.

        How often a client checks in is not bounded by the terms; what a check-in shows is
        (``PopulationTerms.asked_conditions``), and that the client is there.
        """
        up, down = ("client", "aggregator"), ("aggregator", "client")
        figures = len(self.form.numbers)
        rows = (
            (*down, messages.Weights, "values", self.sent.size, messages.MODEL),
            (*up, messages.Piece, "values", self.form.size, messages.OWN),
            (*up, messages.Finish, "numbers", figures, messages.FIGURES),
        )
        return tuple(
            Reveal(sender, receiver, kind.kind, field, f"{self.terms.tasks} * {size}", what)
            for sender, receiver, kind, field, size, what in rows
            if size
        )


def epsilon(terms: PopulationTerms, tasks: int | None = None) -> float | None:
    """Return ε of one client's data against the aggregator after so many tasks (all of the terms').

    At ``terms.delta``, where all of the client's rows may be replaced; None without noise. Needs
    the accounting library. Errors: ATL-PRV-010 it is missing.
    """
    from atoll.privacy.accounting.api import Relation
    from atoll.privacy.accounting.bounds import guarantee

    clip = terms.training.clip
    if terms.noise is None or clip is None:
        return None
    release = LocalNoise(norm=clip, multiplier=terms.noise, clients=1).aggregator()
    done = terms.tasks if tasks is None else tasks
    return (
        None if release is None else guarantee(release, done, terms.delta, Relation.REPLACE).epsilon
    )


def sentences(terms: PopulationTerms, stated: float | None) -> tuple[str, ...]:
    """Return what a person agrees to, one thing a line; ``stated`` is the ε of all tasks."""
    work, training = PopulationWork(terms), terms.training
    conditions = ", ".join(sorted(terms.asked_conditions)) or "nothing"
    seen = f"{terms.aggregator} sees each update of yours"
    if terms.noise is None:
        seen += " as it is: single rows can be read off it, most easily of a client with few"
    else:
        shown = "unknown here" if stated is None else f"{stated:.3g}"
        seen += f" with noise: ε {shown} at δ {terms.delta:g} after {terms.tasks} tasks"
    return (
        f"population {terms.population} of {terms.aggregator}, until {terms.until} (UTC)",
        f"trains {training.family} by {training.algorithm}: {work.spec.size} weights from "
        f"{len(terms.columns)} columns ({', '.join(terms.columns)}) to {terms.label}",
        f"at most {terms.tasks_per_day} tasks a day and {terms.tasks} in all",
        seen,
        f"it sees when you are there, and of your machine: {conditions}",
        f"you trust {terms.aggregator} not to invent clients: it certifies them itself",
    )


def stated_sentences(terms: PopulationTerms) -> tuple[str, ...]:
    """Return ``sentences`` with the ε of all tasks, where the accounting library is there."""
    try:
        stated = epsilon(terms)
    except UserError:
        stated = None
    return sentences(terms, stated)


def _reach(flat: Vector) -> float:
    """Return the greatest absolute value, not a number where one is none."""
    return max(float(flat.max(initial=0.0)), -float(flat.min(initial=0.0)))


def wrong(reason: str) -> PeerError:
    """Return the refusal of values that are not of these terms."""
    return PeerError("ATL-POP-003", f"what was sent does not keep to the terms: {reason}")
