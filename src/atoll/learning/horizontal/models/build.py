"""The trainable model of a specification."""

from __future__ import annotations

from atoll.learning.horizontal.models.api import Model
from atoll.learning.horizontal.models.conv import ConvNet
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import (
    Bernoulli,
    Gaussian,
    Output,
    Poisson,
    Softmax,
)
from atoll.models.network.spec import NetworkSpec


def output_of(spec: NetworkSpec) -> Output:
    """Return what becomes of the last linear values, with its loss."""
    match spec.family:
        case "softmax":
            return Softmax(spec.classes)
        case "logistic":
            return Bernoulli()
        case "poisson":
            return Poisson()
        case "linear":
            return Gaussian()


def model_of(spec: NetworkSpec, l2: float = 0.0) -> Model:
    """Return the model that trains; its vector of weights is laid out as ``spec.shapes``."""
    output = output_of(spec)
    if spec.image is not None:
        return ConvNet(spec.image, spec.convolutions, spec.hidden, output)
    return (
        MLP(spec.columns, spec.hidden, output) if spec.hidden else Linear(spec.columns, output, l2)
    )
