"""Histogram sums over rows of one party and columns of another."""

from atoll.operators.histogram.api import (
    COSTS,
    REVEALS,
    HistogramGuest,
    HistogramHost,
    NodeBound,
    NodeCuts,
)
from atoll.operators.histogram.choose import choose, guest, host

__all__ = [
    "COSTS",
    "REVEALS",
    "HistogramGuest",
    "HistogramHost",
    "NodeBound",
    "NodeCuts",
    "choose",
    "guest",
    "host",
]
