"""Gradient boosting over rows of many clients, by sums of histograms that can be masked."""

from atoll.learning.horizontal.boosting.algorithm import Boosting
from atoll.learning.horizontal.boosting.forest import Forest

__all__ = ["Boosting", "Forest"]
