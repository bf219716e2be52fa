"""The secure sum: an aggregator learns the sum of vectors and none of them."""

from atoll.operators.secure_sum.api import (
    REVEALS,
    Implementation,
    SumInputs,
    SumParameters,
    SumResult,
)
from atoll.operators.secure_sum.choose import choose, run

__all__ = [
    "REVEALS",
    "Implementation",
    "SumInputs",
    "SumParameters",
    "SumResult",
    "choose",
    "run",
]
