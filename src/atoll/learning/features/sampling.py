"""Which rows a sample keeps: positions drawn at random, over all rows or within each class.

Positions come back ascending, so that a sampled table keeps the order of its rows.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from atoll.core.errors import DataError
from atoll.core.random import SecretRandom

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
CLASSES = 100


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
    """Return how many of a class's rows a stratified sample keeps: by fraction at least one."""
    return round(rows * share) if fraction is None else max(round(rows * fraction), 1)


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
    job's seed does not repeat it. Errors: ATL-CMP-041 too many classes or a class without a
    share, ATL-CMP-040.
    """
    classes, member, sizes = np.unique(label, return_inverse=True, return_counts=True)
    if len(classes) > CLASSES:
        raise too_many_classes()
    if shares:
        wanted = _by_share(classes, sizes, dict(shares))
    elif count is not None:
        wanted = _spread(sizes, size_of(len(label), None, count))
    else:
        wanted = np.maximum(np.rint(sizes * (fraction or 0.0)).astype(np.int64), 1)
    # Rows in a secret random order, then grouped by class: the first of each group are kept.
    order = secret.permutation(len(label))
    grouped = order[np.argsort(member[order], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(label)) - np.repeat(starts, sizes)
    return np.sort(grouped[rank < np.repeat(wanted, sizes)])


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


def _by_share(classes: Floats, sizes: Integers, shares: dict[float, float]) -> Integers:
    check_shares(classes.tolist(), shares)
    share = np.array([shares[value] for value in classes.tolist()])
    wanted: Integers = np.rint(sizes * share).astype(np.int64)
    return wanted


def _spread(sizes: Integers, kept: int) -> Integers:
    """Return how many rows of each class are kept: in proportion, the rest by remainders."""
    exact = sizes * (kept / sizes.sum())
    wanted = np.floor(exact).astype(np.int64)
    rest = kept - int(wanted.sum())
    first = np.argsort(wanted - exact, kind="stable")[:rest]
    wanted[first] += 1
    fits: Integers = np.minimum(wanted, sizes)
    return fits
