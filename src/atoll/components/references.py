"""What a step may take out of a node's registry: a party's own part, named by model and version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

# The input that the node fills from its registry where no step is wired to it.
PART = "part"


class ModelRef(NamedTuple):
    """A registered model's part; with a ``step``, what that step of its training job fitted."""

    model: str
    version: int
    step: str = ""


class Registered(NamedTuple):
    """What the registry holds: its kind, and the decoded part.

    ``fitted`` are the steps of the training that transformed its rows before.
    """

    kind: str
    value: Any
    fitted: tuple[str, ...] = ()


# Returns a party's own part. Errors: those of its registry.
Lookup = Callable[[ModelRef], Registered]
