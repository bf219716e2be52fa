"""What becomes of a step of a training graph in the job that predicts with the model.

A component states one of these, or nothing; then no predict job is made of a graph in which its
outputs lead to the training. Which rows an output goes on with is in ``Component.rows``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Fresh(NamedTuple):
    """Parameters for new tables; ``stated``: the old ones stated that rows are aligned."""

    parameters: Mapping[str, Any]
    stated: bool


@dataclass(frozen=True)
class Repeat:
    """The step is done again on the new rows.

    ``fresh(parameters, tables, label)`` is for components that bring tables in: it names the new
    table of each party; ``label`` is its column at the guest, empty: none, None: as before.
    """

    fresh: Callable[[Mapping[str, Any], Mapping[str, str], str | None], Fresh] | None = None


@dataclass(frozen=True)
class Drop:
    """The step is left out, as it only chose among rows; those that it took go on."""


@dataclass(frozen=True)
class Apply:
    """The step is done again with what it fitted: the output ``fitted`` goes in at ``port``.

    ``by`` names the component that does it (empty: its own) without further parameters, for what
    parties fitted together and each applies alone.
    """

    fitted: str
    port: str
    by: str = ""


Predict = Repeat | Drop | Apply
