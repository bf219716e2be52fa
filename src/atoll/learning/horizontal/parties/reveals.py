"""What horizontal training between parties sends, in numbers, and what that reveals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atoll.core.random import PublicRandom
from atoll.core.reveal import Reveal
from atoll.learning.horizontal.algorithm import ClientWork, Vectors
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties.client import Work
from atoll.learning.horizontal.parties.measured import measured
from atoll.learning.horizontal.parties.messages import (
    COMMON,
    COUNTS,
    OWN,
    Change,
    Coded,
    Counts,
    Difference,
    Weights,
)
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.postprocess.api import Coder, Passage, Stage
from atoll.learning.horizontal.postprocess.chain import Chain, RoundRandom
from atoll.learning.horizontal.postprocess.down_link import down_link
from atoll.learning.horizontal.postprocess.shared_scale import SharedScale
from atoll.learning.horizontal.sums import Update
from atoll.operators import secure_sum


@dataclass(frozen=True)
class Sizes:
    """Of one training: how many sums, values a round sends out, values and numbers that come in.

    ``coded`` is how many bytes stand for a client's values, where these do not travel as floats;
    ``down`` the same of what a round sends out after the first.
    """

    masked: bool
    minimum: int
    clients: int
    rounds: int
    sums: int
    sent: int
    down: int | None
    values: int
    coded: int | None
    numbers: int
    measured: int
    evaluations: int

    @property
    def opened(self) -> int:
        """Values that the aggregator sees, of sums or single clients."""
        return self.rounds * self.values + self.counts

    @property
    def counts(self) -> int:
        """Numbers that come in beside the vectors."""
        return self.rounds * self.numbers + self.evaluations * self.measured

    @property
    def bytes(self) -> int:
        """About how many bytes all parties send."""
        whole = 4 * self.sent
        down = (self.sums + 1) * whole if self.down is None else whole + self.rounds * self.down
        vectors = 4 * self.values if self.coded is None else self.coded
        up = self.rounds * vectors + 16 * self.counts
        shares = self.sums * self.clients * 300 if self.masked else 0
        return self.clients * (down + up + shares)


def sizes_of(work: Work, parameters: HorizontalParameters, clients: int) -> Sizes:
    """Return the sizes of a training with so many clients."""
    model, generator = work.model, np.random.default_rng(0)
    sent = work.algorithm.message(work.algorithm.start(model.initial(generator)))
    nothing = ClientRows(np.empty((0, 1), np.float32), np.empty(0, np.int64))
    share = ClientWork(model, sent, {}, nothing, generator, clients)
    publics = RoundRandom(PublicRandom(bytes(32), fixed=True), 0)
    update = work.algorithm.client(share).update
    for link in work.chain.links:
        if link.stage != Stage.MASK and not isinstance(link, SharedScale):
            update = link.client(update, Passage(publics, generator))
    figures = measured(model, next(iter(sent.values())), nothing, work.classifies)
    # The end is evaluated besides; with privacy nothing is, but by each client for itself.
    evaluations = 1 + sum(work.evaluates(at) for at in range(work.rounds))
    ends = int(work.private is None)
    return Sizes(
        masked=parameters.sum == "masked",
        minimum=parameters.minimum_clients,
        clients=clients,
        rounds=work.rounds,
        sums=work.rounds + ends,
        sent=sum(len(vector) for vector in sent.values()),
        down=_differences(work, sent),
        values=sum(len(vector) for vector in update.vectors.values()),
        coded=_coded(work.chain, update),
        numbers=len(update.numbers),
        measured=len(figures) * ends,
        evaluations=evaluations * ends,
    )


def reveals(sizes: Sizes) -> tuple[Reveal, ...]:
    """Return what a training reveals if all clients stay and all rounds are done."""
    common = _common(sizes)
    if not sizes.masked:
        values, counts = sizes.rounds * sizes.values, sizes.counts
        change = Reveal("client", "aggregator", Change.kind, "values", str(values), OWN)
        if sizes.coded is not None:
            coded = sizes.rounds * sizes.coded
            change = Reveal("client", "aggregator", Coded.kind, "data", str(coded), OWN)
        return (
            change,
            Reveal("client", "aggregator", Counts.kind, "values", str(counts), COUNTS),
            *common,
        )
    return (
        *(
            Reveal(r.sender, r.receiver, r.message, r.field, _times(r.size, sizes), r.what)
            for r in secure_sum.REVEALS["masked"]
        ),
        *common,
    )


def _common(sizes: Sizes) -> tuple[Reveal, ...]:
    """Return what clients are sent: all of it each time, or once and then differences."""
    times = sizes.sums + 1 if sizes.down is None else 1
    size = str(times * sizes.sent)
    whole = Reveal("aggregator", "client", Weights.kind, "values", size, COMMON)
    if sizes.down is None:
        return (whole,)
    size = str(sizes.rounds * sizes.down)
    return (whole, Reveal("aggregator", "client", Difference.kind, "data", size, COMMON))


def _differences(work: Work, sent: Vectors) -> int | None:
    """Return the bytes of a difference of what is sent, where the down-link is compressed."""
    link = down_link(work.algorithm)
    if link is None:
        return None
    return sum(link.coder.coded_bytes(len(vector)) for vector in sent.values())


def _coded(chain: Chain, update: Update) -> int | None:
    """Return the bytes that stand for an update's vectors, where values do not travel as floats."""
    for link in chain.links:
        if isinstance(link, Coder):
            return sum(link.coded_bytes(len(vector)) for vector in update.vectors.values())
        if isinstance(link, SharedScale):
            return sum(4 * link.length(len(vector)) for vector in update.vectors.values())
    return None


def _times(size: str, sizes: Sizes) -> str:
    return f"{sizes.sums} * ({size.replace('clients', str(sizes.clients))})"
