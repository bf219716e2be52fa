"""Formulas of sizes are worked out by all parties of one process at once."""

from __future__ import annotations

import ast
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from atoll.core.reveal import evaluate


def test_two_threads_never_parse_formulas_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, both = ast.parse, threading.Barrier(2)
    met = []

    def parse(formula: str, **more: Any) -> Any:
        try:
            both.wait(0.3)
            met.append(formula)
        except threading.BrokenBarrierError:
            pass
        return real(formula, **more)

    formulas = ["rows + 60221", "rows + 40761"]
    with monkeypatch.context() as patched, ThreadPoolExecutor(2) as pool:
        patched.setattr(ast, "parse", parse)
        found = list(pool.map(lambda formula: evaluate(formula, {"rows": 5}), formulas))
    assert found == [60226, 40766]
    assert not met
