"""Scores of rows: what the guest gets of a model, and the file that it keeps of them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Probabilities of label 1, float64[rows], with the rows' ids (Arrow binary) and labels."""

    ids: Any
    label: Floats
    score: Floats

    def to_csv(self) -> bytes:
        """Return the columns id, label, score as CSV; scores keep every bit."""
        import pyarrow as pa
        import pyarrow.csv as arrow_csv

        whole = pa.table(
            {
                "id": self.ids.cast(pa.string()),
                "label": pa.array(self.label),
                "score": pa.array(self.score),
            }
        )
        out = io.BytesIO()
        arrow_csv.write_csv(whole, out)
        return out.getvalue()
