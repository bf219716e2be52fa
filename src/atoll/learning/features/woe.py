"""Weight of evidence (WOE) and information value (IV) from counts by bin and class.

``counts`` are int64[..., bins, 2]: a bin's rows of class 0 (non-events) and of class 1 (events). No
rows are needed, so it does not matter who counted them, or how.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Convention = Literal["exact", "fate"]


@dataclass(frozen=True)
class WoeRule:
    """How weights are taken of counts.

    ``direction`` "event": ln(p1 / p0), where p1 is the bin's share of all events and p0 of all
    non-events (FATE from 1.4.0); "non-event": ln(p0 / p1), as credit scoring has it (FATE to
    1.3.1). The IV is the same.

    ``convention`` "exact": each share is (count + smoothing) / (all + smoothing · filled bins), so
    shares sum to 1, and a bin without one class stays finite; smoothing 0 gives the plain quotient.
    An empty bin has weight 0. "fate": only a bin without one class gets ``smoothing``, for both
    classes, and totals stay as they are (at least 1).
    """

    smoothing: float = 0.5
    direction: Literal["event", "non-event"] = "event"
    convention: Convention = "exact"


EXACT = WoeRule()


def weights(counts: Ints, rule: WoeRule = EXACT) -> Floats:
    """Return each bin's weight of evidence, float64[..., bins]. Errors: ATL-FEA-001."""
    return _weights(*_shares(counts, rule, None), rule)


def parts(counts: Ints, rule: WoeRule = EXACT, totals: Ints | None = None) -> Floats:
    """Return what each bin adds to the information value, float64[..., bins].

    ``totals`` int64[2] are all rows of each class where ``counts`` are not all bins ("fate" only).
    Errors: ATL-FEA-001.
    """
    zeros, ones, filled = _shares(counts, rule, totals)
    away = ones - zeros if rule.direction == "event" else zeros - ones
    with np.errstate(invalid="ignore"):
        return np.where(filled, away * _weights(zeros, ones, filled, rule), 0.0)


def information_value(counts: Ints, rule: WoeRule = EXACT) -> Floats:
    """Return the sum of (p1 − p0) · ln(p1 / p0) over bins, float64[...]. Errors: ATL-FEA-001.

    It is the symmetric Kullback–Leibler divergence of the shares, so never below 0.
    """
    return np.asarray(parts(counts, rule).sum(axis=-1), dtype=np.float64)


def one_against_rest(counts: Ints) -> Ints:
    """Return int64[..., classes, bins, 2], each class as the events, of int64[..., bins, classes].

    For labels of more than two classes there is one weight and one IV a class.
    """
    events = np.moveaxis(counts, -1, -2)
    return np.stack([counts.sum(axis=-1)[..., np.newaxis, :] - events, events], axis=-1)


def turns(counts: Ints, rule: WoeRule = EXACT) -> int:
    """Return how often the weights of int64[bins, 2] change direction; 0: they are monotonic.

    Empty bins and equal neighbours are passed over; a bin of missing values is for the caller to
    leave out. Errors: ATL-FEA-001.
    """
    steps = np.diff(weights(counts, rule)[counts.sum(axis=-1) > 0])
    return int(np.count_nonzero(np.diff(np.sign(steps[steps != 0]))))


def count(codes: npt.NDArray[np.integer], classes: npt.NDArray[np.integer], bins: int) -> Ints:
    """Return int64[bins, 2] rows by bin and class of codes and classes (0 or 1), both int[rows]."""
    cells = codes.astype(np.int64) * 2 + classes
    return np.bincount(cells, minlength=2 * bins).reshape(bins, 2)


def check(counts: Ints) -> None:
    """Refuse what are no counts by bin and class. Errors: ATL-FEA-001."""
    if counts.ndim < 2 or counts.shape[-1] != 2 or not counts.shape[-2] or (counts < 0).any():
        raise UserError(
            "ATL-FEA-001",
            "these are no counts of rows by bin and class",
            hint="hand in int64[bins, 2]: rows of class 0 and of class 1 in each bin",
        )


def _shares(
    counts: Ints, rule: WoeRule, totals: Ints | None
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return the shares of class 0 and class 1, and which bins have a weight."""
    check(counts)
    filled = counts.sum(axis=-1) > 0
    if rule.convention == "fate":
        lacking = (counts == 0).any(axis=-1, keepdims=True)
        every = counts.sum(axis=-2, keepdims=True) if totals is None else totals
        shares = np.where(lacking, counts + rule.smoothing, counts) / np.maximum(every, 1)
        filled = np.ones_like(filled)
    else:
        raised = np.where(filled[..., np.newaxis], counts + rule.smoothing, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = raised / raised.sum(axis=-2, keepdims=True)
    return shares[..., 0], shares[..., 1], filled


def _weights(zeros: Floats, ones: Floats, filled: npt.NDArray[np.bool_], rule: WoeRule) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(filled, np.log(ones) - np.log(zeros), 0.0)
    return found if rule.direction == "event" else -found
