"""Axes: where the ticks go and how a value becomes a position."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LARGEST = 1e300


@dataclass(frozen=True)
class Axis:
    """A map of ``low``…``high`` onto positions ``start``…``end``, with ticks within.

    It is linear, or where ``logarithmic`` that of the logarithms, which only positive values have.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    step: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the position of a value."""
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def has(self, value: float) -> bool:
        """Return whether a value can be drawn on this axis."""
        return drawable(value) and (value > 0 or not self.logarithmic)

    def label(self, tick: float) -> str:
        """Write a tick with as many decimals as the step needs."""
        if self.logarithmic:
            unit, sign = _unit(tick)
            return f"{tick / unit:,.6g}{sign}"
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


def drawable(value: float) -> bool:
    """Return whether a value can be drawn: finite, and of a size that axes can divide."""
    return math.isfinite(value) and abs(value) < LARGEST


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
    finite = [value for value in values if drawable(value)]
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


def log_axis(values: Iterable[float], start: float, end: float, *, count: int = 6) -> Axis:
    """Fit a logarithmic axis to the positive values, with ticks at powers of ten, or closer."""
    positive = [value for value in values if drawable(value) and value > 1 / LARGEST]
    low, high = (min(positive), max(positive)) if positive else (1.0, 10.0)
    if high - low <= 1e-9 * high:
        low, high = low / 2, high * 2
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / count))
    decades = math.log10(high / low)
    factors = (1, 2, 5) if decades <= count / 3 else (1, 3) if decades <= count / 2 else (1,)
    powers = range(first, last + 1, every)
    ticks = tuple(
        tick
        for power in powers
        for factor in factors
        if low * (1 - 1e-9) <= (tick := factor * 10.0**power) <= high * (1 + 1e-9)
    )
    return Axis(low, high, start, end, ticks or (low, high), 0.0, logarithmic=True)
