"""Axes: where the ticks go and how a value becomes a position."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LARGEST = 1e300


@dataclass(frozen=True)
class Axis:
    """A linear map of ``low``…``high`` onto positions ``start``…``end``, with ticks within."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    step: float

    def at(self, value: float) -> float:
        """Return the position of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def label(self, tick: float) -> str:
        """Write a tick with as many decimals as the step needs."""
        if abs(tick) < self.step / 1000:
            return "0"
        largest = max(abs(self.low), abs(self.high))
        if largest >= 1e15 or largest < 1e-4:
            text = f"{tick:.2e}"
        else:
            unit, sign = _unit(largest)
            decimals = max(0, -math.floor(math.log10(self.step / unit) + 1e-9))
            text = f"{tick / unit:,.{min(decimals, 12)}f}{sign}"
        return text.replace("-", "\N{MINUS SIGN}")


def _unit(largest: float) -> tuple[float, str]:
    for unit, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if largest >= unit:
            return unit, sign
    return 1.0, ""


def nice_step(span: float, count: int) -> float:
    """Return the step of 1, 2 or 5 times a power of ten that gives about ``count`` ticks."""
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in (1.0, 2.0, 5.0):
        if raw <= factor * power * 1.0001:
            return factor * power
    return 10.0 * power


def axis(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    count: int = 5,
    widen: bool = False,
    zero: bool = False,
) -> Axis:
    """Fit an axis to the finite values; ``widen`` ends it on ticks, ``zero`` includes nought."""
    finite = [value for value in values if math.isfinite(value) and abs(value) < LARGEST]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    # Spans that floats can hardly divide are drawn as if the value stood alone.
    if high - low <= 1e-12 * max(abs(low), abs(high)) or high - low < 1e-300:
        pad = max(abs(high) * 0.1, 1e-9) if high else 1.0
        low, high = (min(low, 0.0) if zero and low > 0 else low - pad), high + pad
    step = nice_step(high - low, count)
    if widen:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = tuple(at * step for at in range(first, last + 1))
    return Axis(low, high, start, end, ticks, step)
