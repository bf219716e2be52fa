"""The logistic loss of XGBoost, and the integers in which all parties count.

g = p - y and h = p (1 - p) become nearest integers of scale 2^q; whatever follows is computed on
these integers, so that a run over hidden sums and one in the clear agree bit for bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atoll.models.boosting.scoring import probability

Floats = npt.NDArray[np.float64]
Pairs = npt.NDArray[np.int32]


def scale_bits(rows: int) -> int:
    """Return q = min(12, 31 - ceil(log2 rows)): sums over all rows fit 32 bits with their sign."""
    return min(12, 31 - (max(rows, 1) - 1).bit_length())


def gradients(margin: Floats, label: Floats, bits: int) -> tuple[Pairs, Pairs]:
    """Return int32[n] g and h of scale 2^bits at these margins (log-odds), labels 0 or 1."""
    p = probability(margin)
    factor = float(1 << bits)
    g = np.rint((p - label) * factor).astype(np.int32)
    h = np.rint(p * (1.0 - p) * factor).astype(np.int32)
    return g, h


def log_loss(margin: Floats, label: Floats) -> float:
    """Return the mean logistic loss, computed without overflow."""
    signed = np.where(label > 0.5, -margin, margin)
    return float(np.mean(np.maximum(signed, 0.0) + np.log1p(np.exp(-np.abs(signed)))))


def base_margin(label: Floats, rule: str) -> float:
    """Return the log-odds to start from: of the mean label (``mean``) or of one half (``half``)."""
    if rule == "half":
        return 0.0
    mean = float(np.mean(label))
    return float(np.log(mean / (1.0 - mean)))
