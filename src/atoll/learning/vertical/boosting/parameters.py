"""The parameters of vertical boosting, declared once for every front end."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from atoll.core import codec

TREE_NODES = 1 << 16


class BoostingParameters(BaseModel):
    """How the trees are grown. All parties must hold the same values; the plan signs them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trees: int = Field(default=20, ge=1, le=4096, description="number of trees")
    depth: int = Field(default=3, ge=1, le=10, description="levels of splits in each tree")
    learning_rate: float = Field(
        default=0.3, gt=0, le=1, description="share of each tree's step taken"
    )
    bins: int = Field(
        default=32,
        ge=2,
        le=254,
        description="quantile bins of a column; missing values have one more",
    )
    reg_lambda: float = Field(default=1.0, ge=0, le=1e9, description="L2 penalty on leaf weights")
    gamma: float = Field(default=0.0, ge=0, le=1e9, description="least loss that a split must save")
    minimum_child_weight: float = Field(
        default=1.0, ge=0, le=1e9, description="least sum of h on each side of a split"
    )
    minimum_rows: int = Field(
        default=20,
        ge=0,
        le=1 << 30,
        description="k: hosts send no sum over fewer rows than this; 0 sends all cuts",
    )
    minimum_leaf_rows: int | None = Field(
        default=None, ge=0, le=1 << 30, description="least rows in a leaf; empty: the same as k"
    )
    minimum_class_rows: int = Field(
        default=0,
        ge=0,
        le=1 << 30,
        description="least rows of each class in a leaf; 0 does not ask",
    )
    row_sample: float = Field(
        default=1.0, gt=0, le=1, description="share of the rows used for each tree"
    )
    column_sample: float = Field(
        default=1.0, gt=0, le=1, description="share of each party's columns used for each tree"
    )
    early_stopping_rounds: int = Field(
        default=0,
        ge=0,
        le=4096,
        description="stop when the validation loss has not fallen for so many trees; 0: never",
    )
    host_noise: float = Field(
        default=0.0,
        ge=0,
        le=4096,
        description="standard deviation, in rows' gradients, of the noise that hosts add to sums",
    )
    scale_bits: int | None = Field(
        default=None,
        ge=4,
        le=12,
        description="q of the fixed-point scale 2^q; empty: by number of rows",
    )
    base_score: Literal["mean", "half"] = Field(
        default="mean", description="start from the log-odds of the mean label, or from one half"
    )
    implementation: Literal["elgamal", "ideal"] = Field(
        default="elgamal", description="how sums are hidden; ideal hides nothing and is for tests"
    )

    @model_validator(mode="after")
    def _within_caps(self) -> Self:
        if self.trees * ((1 << self.depth) - 1) > TREE_NODES:
            raise ValueError(f"trees times nodes exceeds {TREE_NODES}: fewer trees or less depth")
        return self

    @property
    def leaf_rows(self) -> int:
        """The least number of rows in a leaf."""
        found = self.minimum_rows if self.minimum_leaf_rows is None else self.minimum_leaf_rows
        return max(found, 1)

    def digest(self) -> bytes:
        """Return 32 bytes that agree only if all parameters do."""
        return bytes.fromhex(codec.digest(self.model_dump()))
