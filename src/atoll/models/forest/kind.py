"""The kind of model that horizontal boosting leaves at each of its parties."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atoll.core.report import BarPanel, KeyValuePanel, Panel
from atoll.models.forest.part import PART_BYTES, ForestPart, decode, encode, rename
from atoll.models.kinds import ModelKind

SHOWN = 30
_FORMS = {
    "logistic": "boosted trees, log loss",
    "squared": "boosted trees, squared error",
    "softmax": "boosted trees, softmax",
}


def card(part: ForestPart) -> tuple[Panel, ...]:
    """Return what the model is, in figures, and which columns brought most."""
    spec, column = part.spec, part.arrays["column"]
    values: dict[str, float | int | str | None] = {
        "model": _FORMS[spec.loss],
        "columns": len(part.columns),
        "trees": spec.trees * spec.outputs,
        "levels": spec.depth,
        "splits": int((column >= 0).sum()),
    }
    if spec.loss == "softmax":
        values["classes"] = spec.classes
    split = column >= 0
    gains = np.bincount(column[split], part.arrays["gain"][split], len(part.columns))
    order = [at for at in np.argsort(-gains, kind="stable")[:SHOWN].tolist() if gains[at] > 0]
    panel = BarPanel(
        title="Importance",
        labels=tuple(part.columns[at] for at in order),
        values=tuple(float(gains[at]) for at in order),
        value_label="gain",
    )
    figures = KeyValuePanel(title="Model", values=values)
    return (figures, panel) if order else (figures,)


def alone(part: ForestPart, features: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return a party's predictions of its own rows; nothing is sent."""
    return part.predict(features)


HORIZONTAL_TREES = ModelKind(
    name="horizontal_boosting.model",
    parts=(ForestPart,),
    encode=encode,
    decode=decode,
    most_bytes=PART_BYTES,
    party=lambda part: part.party,
    columns=lambda part: part.columns,
    # Each party has the whole model, whoever else is there.
    fits=lambda part, roles: part.party in roles,
    rename=rename,
    media="application/octet-stream",
    card=card,
    alone=alone,
)
