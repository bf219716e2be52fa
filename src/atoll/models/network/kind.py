"""The kind of model that horizontal training leaves at each of its parties."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atoll.core.report import KeyValuePanel, Panel
from atoll.models.kinds import ModelKind
from atoll.models.network.part import PART_BYTES, NetworkPart, decode, encode, rename

_FORMS = {
    "linear": "linear regression",
    "logistic": "logistic regression",
    "softmax": "softmax regression",
    "poisson": "Poisson regression",
}


def card(part: NetworkPart) -> tuple[Panel, ...]:
    """Return what the model is, in figures."""
    spec = part.spec
    values: dict[str, float | int | str | None] = {
        "model": _FORMS[spec.family],
        "columns": spec.columns,
        "hidden layers": " × ".join(map(str, spec.hidden)) or "none",
        "weights": spec.size,
        "norm": round(float(np.linalg.norm(part.weights)), 4),
    }
    if spec.image is not None:
        values["image"] = " × ".join(map(str, spec.image))
        values["convolutions"] = " × ".join(str(layer.channels) for layer in spec.convolutions)
    if spec.family == "softmax":
        values["classes"] = spec.classes
    return (KeyValuePanel(title="Model", values=values),)


def alone(part: NetworkPart, features: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return a party's predictions of its own rows; nothing is sent."""
    return part.predict(features)


HORIZONTAL_MODEL = ModelKind(
    name="horizontal.model",
    parts=(NetworkPart,),
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
