"""Robust rules: one update out of a round's single updates that a few liars cannot move far.

A sum is moved as far as one client likes. A rule is the second way to combine a round, explicit
beside the sum: it looks at each update by itself, so it cannot stand behind a mask, nor behind
a postprocessor that is undone on a sum; the combination is refused. Whoever combines sees each
client's update in the clear.

An update comes multiplied by a weight that its client states (its rows). A stated weight cannot be
believed, so a rule divides by it and counts each client once: the result is one of equal weights,
whatever ``weighting`` is. An update whose weight is not above 0 (no rows), or with a number beyond
±2^40, is left out.

Held at once: the round's updates (its clients × values), and working space for one block of values
of all of them (4 MB), or one more distance for each pair of clients. Where clients' data differ
much, honest updates differ too: a rule then leaves honest ones out, and its model is worse than the
mean's. Sources: Yin, Chen, Ramchandran, Bartlett, "Byzantine-Robust Distributed Learning" (ICML
2018); Blanchard, El Mhamdi, Guerraoui, Stainer, "Machine Learning with Adversaries: Byzantine
Tolerant Gradient Descent" (NIPS 2017).
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from atoll.core.errors import UserError
from atoll.learning.horizontal.algorithm import Algorithm
from atoll.learning.horizontal.layout import Vector
from atoll.learning.horizontal.postprocess.api import Postprocessor, Stage
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.compress import RandomK, TopK
from atoll.learning.horizontal.sums import Update, require_alike

Floats = npt.NDArray[np.float64]
# float64 values of a block of all clients, and the greatest number that an update may state.
_BLOCK, _MOST = 1 << 19, 2.0**40


class Rule(BaseModel, ABC):
    """A way to combine single updates; its fields are its parameters. Holds no state.

    The result does not depend on the order of the updates, to the bit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def tolerates(self, clients: int) -> int:
        """Return how many of so many clients may send anything (the breakdown point)."""

    @abstractmethod
    def fits(self, clients: int) -> bool:
        """Return whether so many updates are enough."""

    def combine(self, updates: Sequence[Update], weight: str) -> Update | None:
        """Return the update that takes the place of the sum, as of one client of weight 1.

        ``weight`` names the number that the vectors of each update are multiplied by. The other
        numbers are added up, for they move no model. None where too few updates count. Errors:
        ATL-HOR-010 updates that differ in form.
        """
        for update in updates[1:]:
            require_alike(updates[0], update)
        sane = [u for u in updates if all(abs(n) <= _MOST for n in u.numbers.values())]
        counted = [u for u in sane if u.numbers[weight] > 0]
        if not self.fits(len(counted)):
            return None
        singles = [_Single(u, u.numbers[weight]) for u in counted]
        with np.errstate(over="ignore", invalid="ignore"):
            vectors = self._combined(singles)
        numbers = {name: math.fsum(u.numbers[name] for u in sane) for name in updates[0].numbers}
        return Update(vectors, {**numbers, weight: 1.0})

    @abstractmethod
    def _combined(self, singles: list[_Single]) -> dict[str, Vector]:
        """Return the combined vectors."""


class _Single:
    """One client's vectors, and what they are multiplied by."""

    def __init__(self, update: Update, weight: float) -> None:
        self.vectors, self.weight = update.vectors, weight

    def key(self) -> bytes:
        """Return what stands for this update in an order that no client's number decides."""
        made = hashlib.sha256(np.float64(self.weight).tobytes())
        for _, vector in sorted(self.vectors.items()):
            made.update(np.ascontiguousarray(vector).data)
        return made.digest()


def _blocks(singles: list[_Single], name: str) -> Iterator[tuple[slice, Floats]]:
    """Yield spans of a vector with the clients' values there, float64[values, clients]."""
    size, step = len(singles[0].vectors[name]), max(1, _BLOCK // len(singles))
    for first in range(0, size, step):
        span = slice(first, min(first + step, size))
        table = np.empty((span.stop - first, len(singles)))
        for at, single in enumerate(singles):
            np.divide(single.vectors[name][span], single.weight, out=table[:, at])
        yield span, table


class _ByValue(Rule):
    """A rule that looks at each value of the vectors by itself."""

    def _combined(self, singles: list[_Single]) -> dict[str, Vector]:
        found: dict[str, Vector] = {}
        for name, vector in singles[0].vectors.items():
            whole = np.empty(len(vector), vector.dtype)
            for span, table in _blocks(singles, name):
                whole[span] = self._values(table)
            found[name] = whole
        return found

    @abstractmethod
    def _values(self, table: Floats) -> Floats:
        """Return float64[values] of float64[values, clients], which may be overwritten."""


class Median(_ByValue):
    """The median of each value: any number of liars below half of the clients."""

    def tolerates(self, clients: int) -> int:
        """See ``Rule.tolerates``."""
        return max(0, (clients - 1) // 2)

    def fits(self, clients: int) -> bool:
        """See ``Rule.fits``."""
        return clients > 0

    def _values(self, table: Floats) -> Floats:
        # NumPy sorts short rows with vector instructions: five times faster than its median.
        table.sort(axis=1)
        middle, even = divmod(table.shape[1] - 1, 2)
        found: Floats = table[:, middle : middle + 1 + even].mean(axis=1)
        return found


class TrimmedMean(_ByValue):
    """The mean of each value without the ``share`` greatest and the ``share`` least of it.

    At least ``share`` of n clients are cut off at both ends, rounded up: that many may lie. With 0
    it is the plain mean of equal weights, which tolerates none.
    """

    share: float = Field(default=0.2, ge=0, lt=0.5, description="of clients, cut off at each end")

    def tolerates(self, clients: int) -> int:
        """See ``Rule.tolerates``."""
        return _count(self.share, clients) if self.fits(clients) else 0

    def fits(self, clients: int) -> bool:
        """See ``Rule.fits``: one value at least must be left."""
        return clients > 2 * _count(self.share, clients)

    def _values(self, table: Floats) -> Floats:
        clients = table.shape[1]
        cut = _count(self.share, clients)
        # Sorted also where nothing is cut: the sum is then taken in the order of the values.
        table.sort(axis=1)
        found: Floats = table[:, cut : clients - cut].mean(axis=1)
        return found


class Krum(Rule):
    """The update that lies nearest to its nearest others; ``multi``: the mean of the nearest ones.

    Of n clients f = ``share`` · n, rounded up, may lie, as long as n ≥ 2f + 3. An update's score is
    the sum of its squared distances, over all vectors together, to the n - f - 2 others that are
    nearest; the least score is taken, with ``multi`` the mean of the n - f - 2 least. Takes n²
    products of vectors. What is taken is one honest client's update, or near to one: with data that
    differ the model follows single clients.
    """

    share: float = Field(default=0.2, ge=0, lt=0.5, description="of the clients that may lie")
    multi: bool = Field(default=False, description="whether the mean of several is taken")

    def tolerates(self, clients: int) -> int:
        """See ``Rule.tolerates``."""
        return _count(self.share, clients) if self.fits(clients) else 0

    def fits(self, clients: int) -> bool:
        """See ``Rule.fits``: n ≥ 2f + 3."""
        return clients >= 2 * _count(self.share, clients) + 3

    def _combined(self, singles: list[_Single]) -> dict[str, Vector]:
        # An order by content, so that neither rounding nor a tie depends on the clients' numbers.
        singles = sorted(singles, key=_Single.key)
        near = len(singles) - _count(self.share, len(singles)) - 2
        away = _distances(singles)
        scores = np.partition(away, near - 1, axis=1)[:, :near].sum(axis=1)
        best = np.argsort(scores, kind="stable")[: near if self.multi else 1]
        chosen = [singles[at] for at in best.tolist()]
        found: dict[str, Vector] = {}
        for name, vector in singles[0].vectors.items():
            whole = np.empty(len(vector), vector.dtype)
            for span, table in _blocks(chosen, name):
                whole[span] = table.mean(axis=1)
            found[name] = whole
        return found


def _distances(singles: list[_Single]) -> Floats:
    """Return squared distances, float64[n, n]; infinity from each to itself and where too far."""
    count = len(singles)
    products = np.zeros((count, count))
    for name in singles[0].vectors:
        for _, table in _blocks(singles, name):
            products += table.T @ table
    lengths = np.diag(products)
    away = lengths[:, None] + lengths[None, :] - 2 * products
    away[~np.isfinite(away)] = np.inf
    np.maximum(away, 0, out=away)
    np.fill_diagonal(away, np.inf)
    return away


def _count(share: float, clients: int) -> int:
    """Return ``share`` of the clients, rounded up but for the error of the product."""
    return math.ceil(share * clients - 1e-9)


RuleName = Literal["mean", "median", "trimmed_mean", "krum", "multi_krum"]


def rule_named(name: RuleName, share: float | None = None) -> Rule | None:
    """Return a rule by its name, None for the mean; ``share`` is that of the clients that may lie.

    Without ``share`` it is 0.2; the median needs none.
    """
    share = 0.2 if share is None else share
    match name:
        case "mean":
            return None
        case "median":
            return Median()
        case "trimmed_mean":
            return TrimmedMean(share=share)
        case "krum" | "multi_krum":
            return Krum(share=share, multi=name == "multi_krum")


def weight_for(rule: Rule, algorithm: Algorithm, chain: Chain) -> str:
    """Return the number that a rule divides an update's vectors by.

    Errors: ATL-HOR-109 an algorithm whose sum is no mean of one thing by clients; ATL-HOR-110 a
    mask, noise or the like before the rule.
    """
    if algorithm.weighed_by is None:
        raise UserError(
            "ATL-HOR-109",
            f"{type(algorithm).__name__} takes more from the sum of its clients' updates than one "
            f"mean, and {type(rule).__name__} has no sum",
            hint="take FedAvg, one of its relations or FedSGD, or the plain sum",
        )
    for link in chain.links:
        why = _obstacle(link)
        if why is not None:
            raise UserError(
                "ATL-HOR-110",
                f"{type(rule).__name__} needs single updates, and {type(link).__name__} stands "
                f"before it: {why}",
                hint="a robust rule over updates in the clear, or this link with the plain sum",
            )
    return algorithm.weighed_by


def _obstacle(link: Postprocessor) -> str | None:
    if link.stage == Stage.MASK:
        return "a mask hides the single updates that the rule looks at"
    if link.stage == Stage.NOISE:
        return "noise is accounted for in a sum, and takes the weights away"
    if isinstance(link, TopK):
        return "what a client leaves out would count as its zero"
    if type(link).aggregate is not Postprocessor.aggregate and not isinstance(link, RandomK):
        return "it is undone on a sum"
    return None
