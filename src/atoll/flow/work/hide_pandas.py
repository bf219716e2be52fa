"""Keeps pandas out of a worker that has no use for it: 45 MB and a quarter of a second."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import pyarrow as pa

_NAME = "pandas"


class _Hidden:
    """A finder that knows of no pandas."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> None:
        """Find nothing; for pandas, look no further."""
        if name == _NAME:
            raise ModuleNotFoundError(f"No module named {_NAME!r}", name=_NAME)


def hide_pandas() -> None:
    """Let Arrow find no pandas: it looks once, at its first exchange with NumPy.

    Without this an installed pandas is loaded there, though no value of it ever occurs. Only for
    processes that run no code of others: after it Arrow does not know pandas' missing values.
    """
    if _NAME in sys.modules:
        return
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        # Arrow has two places that look, one for each direction.
        pa.array(np.zeros(1))
        pa.array([0.5, None]).to_numpy(zero_copy_only=False)
    finally:
        sys.meta_path.remove(hidden)
