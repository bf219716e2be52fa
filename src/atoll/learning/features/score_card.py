"""Score cards: a model's log odds as points, more of them for less likely events.

score = ``base_score`` + ``points`` / ln(``ratio``) · ln(odds against the event / ``base_odds``), so
``points`` more multiply these odds by ``ratio`` (with ratio 2, ``points`` is the PDO, "points to
double the odds"), and at ``base_odds`` the score is ``base_score``. With base odds of 1 these are
FATE's offset, factor and factor_base.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from atoll.core.errors import DataError, UserError
from atoll.learning.features.woe import Convention

Floats = npt.NDArray[np.float64]
FATE_END = 1e-8


class ScoreParameters(BaseModel):
    """The scale of a score card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_score: float = Field(default=500.0, ge=-1e6, le=1e6, description="score at the base odds")
    base_odds: float = Field(
        default=1.0, gt=0, le=1e6, description="odds against the event at the base score"
    )
    points: float = Field(
        default=20.0, gt=0, le=1e6, description="points that multiply the odds by the ratio"
    )
    ratio: float = Field(default=2.0, gt=1, le=1e6, description="what these points multiply by")
    lower: float = Field(default=0.0, ge=-1e6, le=1e6, description="least score")
    upper: float = Field(default=1500.0, ge=-1e6, le=1e6, description="greatest score")
    digits: int | None = Field(
        default=2, ge=0, le=9, description="decimals of a score; empty: not rounded"
    )
    convention: Convention = Field(
        default="exact", description="exact, or as FATE computes it, to compare with it"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.lower > self.upper:
            raise ValueError("the least score is above the greatest")
        return self

    @property
    def factor(self) -> float:
        """Points for a log odds of 1."""
        return self.points / math.log(self.ratio)

    @property
    def offset(self) -> float:
        """The score of even odds."""
        return self.base_score - self.factor * math.log(self.base_odds)

    def rounded(self, score: Floats) -> Floats:
        """Return scores with as many decimals as are wanted, float64[rows]."""
        return score if self.digits is None else np.asarray(np.round(score, self.digits))


def credit_scores(probability: Floats, parameters: ScoreParameters) -> Floats:
    """Return the score of each probability of the event, float64[rows], within its limits.

    "fate": probabilities within 1e-8 of 0 and 1 have the greatest and least score, not only these
    themselves, and what is no probability has the least. Errors: ATL-FEA-004 (exact) no
    probability.
    """
    inside = (probability >= 0) & (probability <= 1)
    fate = parameters.convention == "fate"
    if not fate and not inside.all():
        raise DataError(
            "ATL-FEA-004",
            "a score card is of probabilities between 0 and 1",
            place=f"row {int(np.argmin(inside))}",
        )
    known = np.where(inside, probability, 1.0)
    with np.errstate(divide="ignore"):
        odds = np.log1p(-known) - np.log(known)
    if fate:
        odds = np.where(known < FATE_END, np.inf, np.where(known > 1 - FATE_END, -np.inf, odds))
    score = np.clip(
        parameters.offset + parameters.factor * odds, parameters.lower, parameters.upper
    )
    return parameters.rounded(score)


@dataclass(frozen=True)
class ScoreCard:
    """The points that each row begins with, and those of each column's bins, float64[bins] each."""

    base: float
    points: tuple[Floats, ...]

    def scores(self, codes: npt.NDArray[np.integer], parameters: ScoreParameters) -> Floats:
        """Return float64[rows] of each row's bins, int[rows, columns], within the limits."""
        columns = [of[codes[:, index]] for index, of in enumerate(self.points)]
        score = self.base + np.sum(columns, axis=0, initial=0.0)
        return np.asarray(np.clip(score, parameters.lower, parameters.upper))


def score_card(
    weights: Sequence[Floats],
    coefficients: Floats,
    intercept: float,
    parameters: ScoreParameters,
) -> ScoreCard:
    """Return the card of a logistic regression on weights of evidence.

    ``weights`` are each column's weights by bin, float64[bins], ``coefficients`` float64[columns]
    and ``intercept`` those of the log odds of the event. Points are rounded one by one, as a card
    is printed: a score is off by half a unit of the last decimal for each column at most. Errors:
    ATL-FEA-005 not a coefficient for each column.
    """
    if coefficients.shape != (len(weights),):
        raise UserError(
            "ATL-FEA-005", "a score card needs a coefficient for each column of weights"
        )
    factor = parameters.factor
    base = parameters.rounded(np.array([parameters.offset - factor * intercept]))
    by_column = zip(coefficients.tolist(), weights, strict=True)
    points = (parameters.rounded(-factor * weight * bins) for weight, bins in by_column)
    return ScoreCard(float(base[0]), tuple(points))
