"""Scores of rows: what the guest gets of a model, and the file that it keeps of them."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.components.api import ArtifactFacts

Floats = npt.NDArray[np.float64]


def scores_of(table: ArtifactFacts) -> ArtifactFacts:
    """Return what a plan knows of the scores of a table's rows."""
    return replace(table, kind="scores", columns=None, aligned=False)


@dataclass(frozen=True)
class Scores:
    """Probabilities of label 1, float64[rows], with the rows' ids (Arrow binary) and labels.

    Labels are NaN where they are not known.
    """

    ids: Any
    label: Floats
    score: Floats

    def to_arrow(self) -> Any:
        """Return the columns id (text), label (if known) and score as an Arrow table."""
        import pyarrow as pa

        columns = {"id": self.ids.cast(pa.string())}
        if not np.isnan(self.label).any():
            columns["label"] = pa.array(self.label)
        return pa.table(columns | {"score": pa.array(self.score)})

    def to_csv(self) -> bytes:
        """Return the columns id, label (if known), score as CSV; scores keep every bit.

        An id that a spreadsheet would run as a formula gets ' in front; ``to_arrow`` has it raw.
        """
        return csv_of(self.to_arrow())


def csv_of(table: Any) -> bytes:
    """Return an Arrow table as CSV for people, without formulas."""
    import pyarrow.csv as arrow_csv

    from atoll.table.formulas import escaped

    out = io.BytesIO()
    arrow_csv.write_csv(escaped(table), out)
    return out.getvalue()
