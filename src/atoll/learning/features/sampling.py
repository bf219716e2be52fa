"""Which rows a sample keeps: positions drawn at random, over all rows or within each class.

Positions come back ascending, so that a sampled table keeps the order of its rows.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError
from atoll.core.random import SecretRandom

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
CLASSES = 100
# Of fewer rows a draw within classes would show which few share one.
LEAST_ROWS = 100


def size_of(rows: int, fraction: float | None, count: int | None) -> int:
    """Return how many of ``rows`` are kept, at least one. Errors: ATL-CMP-040 too many."""
    if count is None:
        return min(max(round(rows * (fraction or 0.0)), 1), rows)
    if count > rows:
        raise DataError(
            "ATL-CMP-040",
            "the sample is larger than the table",
            place="parameters.count",
            hint=f"the table has {rows} rows",
        )
    return count


def share_of(rows: int, share: float, fraction: float | None) -> int:
    """Return the most of a class's rows that a stratified sample keeps."""
    return math.ceil(rows * (share if fraction is None else fraction))


def at_random(rows: int, kept: int, generator: np.random.Generator) -> Integers:
    """Return ``kept`` of ``rows`` positions, each set of them equally likely."""
    return np.sort(generator.permutation(rows)[:kept])


def stratified(
    label: Floats,
    secret: SecretRandom,
    *,
    fraction: float | None = None,
    count: int | None = None,
    shares: Sequence[tuple[float, float]] = (),
) -> Integers:
    """Return positions drawn within each class of float64[rows] labels.

    ``shares`` holds (class, fraction) and then names every class; else each class keeps
    ``fraction`` of its rows, or ``count`` rows are spread like the classes (largest remainders).
    Secret randomness: with a public order the gaps between chosen rows would reveal labels; so a
    job's seed does not repeat it. Sizes are rounded at random, too: every row of a class is kept
    with just its share, and how many are kept shows no class's size. Errors: ATL-CMP-041 too many
    classes or a class without a share, ATL-CMP-040, ATL-CMP-044 fewer than 100 rows.
    """
    classes, member, sizes = np.unique(label, return_inverse=True, return_counts=True)
    check_rows(len(label))
    if len(classes) > CLASSES:
        raise too_many_classes()
    if shares:
        wanted = _rounded(sizes * _share_by_class(classes, dict(shares)), secret)
    elif count is not None:
        wanted = _spread(sizes, size_of(len(label), None, count), secret)
    else:
        wanted = _rounded(sizes * np.float64(fraction or 0.0), secret)
    # Rows in a secret random order, then grouped by class: the first of each group are kept.
    order = secret.permutation(len(label))
    grouped = order[np.argsort(member[order], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(label)) - np.repeat(starts, sizes)
    return np.sort(grouped[rank < np.repeat(wanted, sizes)])


def check_rows(rows: int) -> None:
    """Refuse to draw within the classes of few rows; their number is no secret. ATL-CMP-044."""
    if 0 < rows < LEAST_ROWS:
        raise DataError(
            "ATL-CMP-044",
            f"a stratified sample is drawn from at least {LEAST_ROWS} rows",
            hint="sample at random, or stratify before rows are cut down",
        )


def too_many_classes() -> DataError:
    """Return the refusal of a label with too many classes."""
    return DataError(
        "ATL-CMP-041",
        f"the label has more than {CLASSES} classes",
        hint="sample at random instead",
    )


def check_shares(classes: Iterable[float], shares: Container[float]) -> None:
    """Refuse shares that leave a class out. Errors: ATL-CMP-041."""
    if any(value not in shares for value in classes):
        raise DataError(
            "ATL-CMP-041",
            "a class of the label has no share",
            place="parameters.shares",
            hint="give every class a share; 0 leaves it out",
        )


def _share_by_class(classes: Floats, shares: dict[float, float]) -> Floats:
    check_shares(classes.tolist(), shares)
    return np.array([shares[value] for value in classes.tolist()])


def _uniform(count: int, secret: SecretRandom) -> Floats:
    """Return secret numbers in [0, 1), float64[count]."""
    words = np.frombuffer(secret.bytes(8 * count), dtype="<u8")
    return (words >> np.uint64(11)) / 2.0**53


def _rounded(exact: Floats, secret: SecretRandom) -> Integers:
    """Return whole numbers beside ``exact``, up or down by a coin each, with its value as mean."""
    rounded: Integers = np.floor(exact + _uniform(len(exact), secret)).astype(np.int64)
    return rounded


def _spread(sizes: Integers, kept: int, secret: SecretRandom) -> Integers:
    """Return how many rows of each class are kept, ``kept`` in all: in proportion on average.

    The remainders lie one behind the other, and a comb with teeth at distance 1, set down at
    random, gives a row more to each class that a tooth falls on (systematic sampling).
    """
    exact = sizes * (kept / sizes.sum())
    wanted = np.floor(exact).astype(np.int64)
    ends = np.cumsum(exact - wanted)
    # The last sum is whole but for rounding, which must not lose a tooth.
    ends[-1] = kept - wanted.sum()
    teeth = np.floor(ends + _uniform(1, secret)).astype(np.int64)
    fits: Integers = np.minimum(wanted + np.diff(teeth, prepend=0), sizes)
    return fits
