"""Scores of rows: what the guest gets of a model, and the file that it keeps of them."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.components.api import ArtifactFacts
from atoll.core.errors import DataError

Floats = npt.NDArray[np.float64]


def scores_of(table: ArtifactFacts) -> ArtifactFacts:
    """Return what a plan knows of the scores of a table's rows."""
    return replace(table, kind="scores", columns=None, aligned=False)


@dataclass(frozen=True)
class Scores:
    """Probabilities of label 1, predicted values, or numbers of classes, float64[rows], with the
    rows' ids (Arrow binary) and labels.

    Labels are NaN where they are not known. ``probabilities`` float64[rows, classes] are there
    where scores are numbers of classes.
    """

    ids: Any
    label: Floats
    score: Floats
    probabilities: Floats | None = None

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


def in_order(of: Scores, other: Scores) -> Scores:
    """Return scores of the same rows in the order of ``of``. Errors: ATL-EVA-009 other rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    own, ids = (_joined(scores.ids).cast(pa.binary()) for scores in (of, other))
    if own.equals(ids):
        found = other
    else:
        at = pc.index_in(own, value_set=ids)
        if len(own) != len(ids) or at.null_count:
            raise _other_rows("the scores are not of the same rows")
        order = at.to_numpy(zero_copy_only=False)
        wide = other.probabilities
        found = Scores(
            own, other.label[order], other.score[order], None if wide is None else wide[order]
        )
    if not np.array_equal(of.label, found.label):
        raise _other_rows("the same rows have other labels")
    return found


def _joined(ids: Any) -> Any:
    import pyarrow as pa

    return ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids


def _other_rows(text: str) -> DataError:
    return DataError(
        "ATL-EVA-009",
        text,
        place="others",
        hint="let all models score the same table: a difference on other rows is one of rows, too",
    )


def csv_of(table: Any) -> bytes:
    """Return an Arrow table as CSV for people, without formulas."""
    import pyarrow.csv as arrow_csv

    from atoll.table.formulas import escaped

    out = io.BytesIO()
    arrow_csv.write_csv(escaped(table), out)
    return out.getvalue()
