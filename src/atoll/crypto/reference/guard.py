"""The switch that keeps reference code out of real jobs."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from atoll.core.errors import InternalError
from atoll.core.settings import insecure_allowed

P = ParamSpec("P")
R = TypeVar("R")


def require_insecure(name: str) -> None:
    """Refuses to go on unless this process is a test or a simulation.

    Errors: ATL-CRY-001.
    """
    if not insecure_allowed():
        raise InternalError(
            "ATL-CRY-001", f"{name} is reference code and runs in tests and simulation only"
        )


def reference_only(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function that handles secrets without care for time or memory.

    Errors: ATL-CRY-001, when the function is called outside tests and simulation.
    """

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        require_insecure(function.__qualname__)
        return function(*args, **kwargs)

    return guarded
