"""A random seed that no party could choose alone."""

from atoll.operators.coin_toss.api import COSTS, REVEALS, warnings
from atoll.operators.coin_toss.choose import choose, run

__all__ = ["COSTS", "REVEALS", "choose", "run", "warnings"]
