"""Centres of clusters that were fitted together, as data, and which of them a row is nearest to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from atoll.core.report import Panel, TablePanel
from atoll.models.kinds import ModelKind
from atoll.models.own_part import decoder, encode, rename

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
PART_BYTES = 256 << 20
MOST_CLUSTERS = 1 << 10
SHOWN, WIDE = 200, 20
# Distances that are held at once.
_BLOCK = 1 << 21
Name = Annotated[str, Field(min_length=1, max_length=256)]


class ClusterPart(BaseModel):
    """What a party keeps of a fit: ``centres`` by cluster and column, and how it names clusters.

    Values are cut to ± ``bound`` before distances are taken, as in the fit. ``added`` is the column
    of a table's rows that holds the number of their cluster.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["clusters.part"] = "clusters.part"
    version: Literal[1] = 1
    party: str = Field(min_length=1, max_length=63)
    columns: tuple[Name, ...] = Field(min_length=1, max_length=1 << 16)
    centres: tuple[tuple[FiniteFloat, ...], ...] = Field(min_length=1, max_length=MOST_CLUSTERS)
    bound: FiniteFloat = Field(gt=0)
    added: Name

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(set(self.columns)) != len(self.columns) or self.added in self.columns:
            raise ValueError("a column is named twice")
        if any(len(centre) != len(self.columns) for centre in self.centres):
            raise ValueError("a centre has a value for each column")
        return self

    def assign(self, rows: Floats) -> Floats:
        """Return each row's nearest centre of float64[rows, columns]; NaN with a missing value."""
        known = ~np.isnan(rows).any(axis=1)
        found = np.full(len(rows), np.nan)
        within = np.clip(rows[known], -self.bound, self.bound)
        found[known] = nearest(within, np.array(self.centres, dtype=np.float64))
        return found


def nearest(rows: Floats, centres: Floats) -> Labels:
    """Return the nearest of float64[clusters, columns] to each row, int64[n]; the first of equals.

    No value is missing.
    """
    # Distances from a point among the centres: far from 0 the squares would cost the digits.
    pivot = centres.mean(axis=0)
    near = centres - pivot
    half = np.square(near).sum(axis=1) / 2
    labels = [
        (half - (block - pivot) @ near.T).argmin(axis=1) for block in blocks(rows, len(centres))
    ]
    return np.concatenate(labels).astype(np.int64, copy=False)


def blocks(rows: Floats, clusters: int) -> Iterator[Floats]:
    """Yield rows as many at a time as there is room for their distances; one block at least."""
    step = max(16, _BLOCK // clusters)
    for first in range(0, max(len(rows), 1), step):
        yield rows[first : first + step]


def card(part: ClusterPart) -> tuple[Panel, ...]:
    """Return the centres, a line a cluster, of the first columns."""
    lines = tuple((at, *centre[:WIDE]) for at, centre in enumerate(part.centres[:SHOWN]))
    return (TablePanel(title="Centres", columns=("cluster", *part.columns[:WIDE]), rows=lines),)


def _assigned(part: ClusterPart, columns: Mapping[str, Floats]) -> Mapping[str, Floats]:
    rows = np.column_stack([columns[name] for name in part.columns])
    return {part.added: part.assign(rows)}


CLUSTERS_TRANSFORM = ModelKind(
    name="horizontal_kmeans.transform",
    parts=(ClusterPart,),
    encode=encode,
    decode=decoder(ClusterPart, "fitted clusters"),
    most_bytes=PART_BYTES,
    party=lambda part: part.party,
    columns=lambda part: part.columns,
    # Each party assigns its own rows, whoever else is there.
    fits=lambda part, roles: part.party in roles,
    rename=rename,
    card=card,
    changes=_assigned,
    adds=True,
)
