"""Histogram sums over rows of one party and columns of another."""

from atoll.operators.histogram.api import (
    COSTS,
    NOTHING,
    OPENED,
    REVEALS,
    HistogramGuest,
    HistogramHost,
    NodeBound,
    NodeCuts,
    Opened,
)
from atoll.operators.histogram.choose import choose, guest, host

__all__ = [
    "COSTS",
    "NOTHING",
    "OPENED",
    "REVEALS",
    "HistogramGuest",
    "HistogramHost",
    "NodeBound",
    "NodeCuts",
    "Opened",
    "choose",
    "guest",
    "host",
]
