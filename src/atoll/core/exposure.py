"""What a step exposes, declared in the units that caps count."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from atoll.core.errors import InternalError
from atoll.core.reveal import Reveal, evaluate

EVERYONE = "everyone"
PSI_RUNS, TREE_NODES, OPENED_SUMS = "psi_runs", "tree_nodes", "opened_sums"
EPSILON, ROWS, UNCOUNTED = "epsilon", "rows", "uncounted"
UNITS = frozenset({PSI_RUNS, TREE_NODES, OPENED_SUMS, EPSILON, ROWS})


@dataclass(frozen=True)
class Exposure:
    """How much one attempt of a step exposes at most, in one unit.

    ``unit`` is one of ``UNITS``; ``rows`` are those that one attempt scores or samples, or shows
    the side of a cut of. No cap counts another unit: a grant must then name the component.
    ``sender`` and ``receiver`` are roles, or everyone. Where ``message`` and ``field`` name what is
    sent for each (a tree that begins), an attempt that sent n elements of it exposed ``each`` · n;
    with a role as ``sender``, one that sent none exposed nothing.
    """

    unit: str
    amount: int | float
    sender: str = EVERYONE
    receiver: str = EVERYONE
    message: str = ""
    field: str = ""
    each: int | float = 1

    def __post_init__(self) -> None:
        if not all(math.isfinite(n) and n >= 0 for n in (self.amount, self.each)):
            raise ValueError("an exposure is a number of at least 0")


def fixed_size(sizes: Iterable[str]) -> int | None:
    """Return the number of elements in reveals of these sizes; None if one is no plain number."""
    try:
        return sum(int(evaluate(size, {})) for size in sizes)
    except InternalError:
        return None


def at_least(
    declared: Sequence[Exposure], reveals: Sequence[Reveal], *, sends: bool = True
) -> tuple[Exposure, ...]:
    """Return what code of others exposes: what it declares, and no less than its reveals state.

    Reveals of plain sizes are as many opened sums. What is sent in sizes that only the run knows,
    or without any declared reveal, is uncounted besides.
    """
    if not reveals and not sends:
        return tuple(declared)
    size = fixed_size(reveal.size for reveal in reveals) if reveals else None
    if size is None:
        return (*declared, Exposure(UNCOUNTED, 1))
    most = max(size, sum(e.amount for e in declared if e.unit == OPENED_SUMS))
    return (*(e for e in declared if e.unit != OPENED_SUMS), Exposure(OPENED_SUMS, most))
