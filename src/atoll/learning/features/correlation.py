"""Pearson correlation of columns, and how far others explain each (VIF)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError, UserError
from atoll.learning.features.woe import Convention

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# An eigenvalue below this is one of columns that depend on each other.
NULL = 1e-8


def pearson(features: Floats) -> Floats:
    """Return float64[columns, columns] of float64[rows, columns], in -1…1, NaN for equal values.

    Errors: ATL-FEA-002 a value is missing or infinite.
    """
    if not np.isfinite(features).all():
        row, column = np.argwhere(~np.isfinite(features))[0]
        raise DataError(
            "ATL-FEA-002",
            "a value is missing or infinite",
            place=f"row {row}, column number {column}",
            hint="fill missing values before",
        )
    found = np.full((features.shape[1], features.shape[1]), np.nan)
    if not len(features):
        return found
    # Equal values may have a deviation of some roundings; their correlations would be noise.
    varies = features.max(axis=0) > features.min(axis=0)
    kept = features[:, varies]
    kept = kept / np.abs(kept).max(axis=0)
    away = kept - kept.mean(axis=0)
    away /= np.abs(away).max(axis=0)
    units = away / np.sqrt(np.square(away).sum(axis=0))
    matrix = np.clip(units.T @ units, -1, 1)
    np.fill_diagonal(matrix, 1.0)
    found[np.ix_(varies, varies)] = matrix
    return found


def inflation(matrix: Floats, convention: Convention = "exact") -> Floats:
    """Return 1 / (1 − R²) of each column against all others, float64[columns].

    ``matrix`` float64[columns, columns] are correlations; columns with NaN (on the diagonal) have
    NaN and are left out. Of a regular matrix it is the diagonal of the inverse. "exact": infinite
    for a column that the others determine (it has a part in an eigenvector whose eigenvalue is
    below 1e-8), for the others what it is without the superfluous columns. "fate": the product of
    the eigenvalues of the matrix without the column, over that of the matrix, the k smallest left
    out of both, where k are below 1e-8; finite where columns determine each other. Errors:
    ATL-FEA-003 no symmetric matrix with 1 on the diagonal.
    """
    _check(matrix)
    known = ~np.isnan(np.diagonal(matrix))
    regular = matrix[np.ix_(known, known)]
    found = np.full(len(matrix), np.nan)
    if len(regular):
        found[known] = (_exact if convention == "exact" else _fate)(regular)
    return found


def _check(matrix: Floats) -> None:
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if square:
        known = ~np.isnan(np.diagonal(matrix))
        kept = matrix[np.ix_(known, known)]
        near = np.allclose(kept, kept.T, rtol=0, atol=1e-9)
        if near and np.allclose(np.diagonal(kept), 1, rtol=0, atol=1e-9):
            return
    raise UserError(
        "ATL-FEA-003",
        "this is no matrix of correlations",
        hint="it is symmetric, with 1 on the diagonal, or NaN for a column of equal values",
    )


def _exact(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    null = values < NULL
    inverse = np.square(vectors[:, ~null]) @ (1 / values[~null])
    # Vectors of the null space are known to about the square root of the bound.
    return np.where(np.square(vectors[:, null]).sum(axis=1) > NULL, np.inf, inverse)


def _fate(matrix: Floats) -> Floats:
    values = np.linalg.eigvalsh(matrix)
    null = int(np.count_nonzero(values < NULL))
    whole = np.log(values[null:]).sum()
    found = np.empty(len(matrix))
    for column in range(len(matrix)):
        minor = np.delete(np.delete(matrix, column, axis=0), column, axis=1)
        # Beyond k some may be below zero by rounding.
        rest = np.maximum(np.linalg.eigvalsh(minor)[null:], np.finfo(np.float64).tiny)
        found[column] = np.exp(np.log(rest).sum() - whole)
    return found
