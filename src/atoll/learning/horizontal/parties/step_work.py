"""What all parties of a step over clients' rows know of it, and what it sends in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from atoll.core.errors import UserError
from atoll.core.reveal import Reveal
from atoll.learning.horizontal.algorithm import ClientWork, Vectors
from atoll.learning.horizontal.features.api import PartyStep, StepSizes, TableColumns
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.parties.adding import Adding
from atoll.learning.horizontal.parties.messages import (
    COUNTS,
    OWN_SUMS,
    RESULTS,
    Counts,
    ExactChange,
    Values,
)
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.sums import Extent, Update
from atoll.operators import secure_sum

# Rows of a client where a plan does not know how many.
UNKNOWN_ROWS = 1 << 26
MOST_UPDATE = 1 << 27


class Summed(BaseModel):
    """How clients' sums are added up, and how many clients must stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sum: Literal["masked", "plain"] = Field(
        default="masked",
        description="masked: the aggregator sees sums over at least three clients; plain: it sees "
        "each client's",
    )
    minimum_clients: int = Field(
        default=3, ge=1, le=4096, description="clients that must stay to the end of each round"
    )

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.sum == "masked" and self.minimum_clients < 3:
            raise ValueError("a masked sum needs at least three clients (minimum_clients)")
        return self


@dataclass(frozen=True)
class StepWork:
    """A step over tables of so many columns, alike at each party. ``adding`` adds exactly.

    ``result`` is how many values the result has at most, where that is more than a message has.
    """

    step: PartyStep
    columns: int
    adding: Adding
    minimum: int
    result: int = 0

    @classmethod
    def of(
        cls,
        step: PartyStep,
        columns: int,
        summed: Summed,
        clients: Sequence[str],
        rows: Mapping[str, int],
        result: int = 0,
    ) -> StepWork:
        """Return these clients' work; ``rows`` are by seat, the plan's. Errors: ATL-HOR-160."""
        _require_possible(step, columns)
        most = max(rows.get(client, UNKNOWN_ROWS) for client in clients)
        bound = step.row_bound * max(most, 1)
        mask = None if summed.sum == "plain" else Mask(bound=bound, clients=len(clients), ring=64)
        adding = Adding(mask, summed.minimum_clients, exact=True)
        return cls(step, columns, adding, summed.minimum_clients, result)

    @property
    def model(self) -> TableColumns:
        """What stands in a model's place."""
        return TableColumns(self.columns)

    @property
    def chain(self) -> Chain:
        """What an update passes before it is summed."""
        return Chain(() if self.adding.mask is None else (self.adding.mask,))

    @property
    def message(self) -> int:
        """How many values the aggregator sends at once at most."""
        return max(self.sizes.message, self.result)

    @property
    def sizes(self) -> StepSizes:
        """How much is sent at most."""
        return self.step.sizes(self.columns)

    def keeps(self, rounds: int) -> bool:
        """Return whether all seats keep their states after so many rounds."""
        return rounds % self.step.kept_every == 0

    def refusal(self, found: Update, of: Extent) -> str | None:
        """Return why a client's update in the clear is not that of an honest one, else None."""
        return None if self.step.possible(found, of) else "its sums cannot be of its rows"

    def empty(self, sent: Vectors, kept: Vectors, clients: int) -> tuple[Update, Vectors]:
        """Return the update of a client without rows, and what it keeps: the form of all others."""
        rows = ClientRows(np.empty((0, self.columns)), np.empty(0))
        generator = np.random.default_rng(0)
        done = self.step.client(ClientWork(self.model, sent, kept, rows, generator, clients))
        return done.update, done.kept


def _require_possible(step: PartyStep, columns: int) -> None:
    """Refuse a step whose updates are too large to be summed. Errors: ATL-HOR-160."""
    if step.sizes(columns).update > MOST_UPDATE:
        raise UserError(
            "ATL-HOR-160",
            f"an update of this step has more than {MOST_UPDATE} values",
            place="parameters",
            hint="fewer bins or cells, less depth, or fewer columns",
        )


def reveals(masked: bool, clients: int) -> tuple[Reveal, ...]:
    """Return what a step reveals. How many rounds it takes, and how wide they are, follows from
    the rows: ``sums`` counts the rounds that were summed, ``sent`` the values that the aggregator
    sent each client, ``values`` and ``counts`` what each client sent it.
    """
    common = Reveal("aggregator", "client", Values.kind, "values", "sent", RESULTS)
    if not masked:
        return (
            Reveal("client", "aggregator", ExactChange.kind, "values", "values", OWN_SUMS),
            Reveal("client", "aggregator", Counts.kind, "values", "counts", COUNTS),
            common,
        )
    return (
        *(
            Reveal(r.sender, r.receiver, r.message, r.field, _times(r.size, clients), r.what)
            for r in secure_sum.REVEALS["masked"]
        ),
        common,
    )


def _times(size: str, clients: int) -> str:
    return f"sums * ({size.replace('clients', str(clients))})"


def bytes_of(work: StepWork, clients: int) -> int:
    """Return about how many bytes all parties send at most."""
    rounds, sizes = work.step.most_rounds, work.sizes
    shares = rounds * clients * 300 if work.adding.mask is not None else 0
    return clients * (8 * (sizes.total + min(rounds, 64) * sizes.message) + shares)
