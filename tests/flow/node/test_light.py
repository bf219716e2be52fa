"""An idle node stays small: what only tasks and migrations need is not loaded to run one."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("alembic", "httpx", "pandas", "pyarrow", "sqlalchemy.dialects.postgresql")


def loaded_by(statement: str) -> set[str]:
    """Return which of the heavy modules a fresh interpreter has after a statement."""
    code = f"{statement}; import sys; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["atoll.cli.node_process", "atoll.flow.node.node"])
def test_a_node_is_loaded_without_what_only_tasks_need(module: str) -> None:
    assert loaded_by(f"import {module}") == set()


def test_a_warm_worker_has_loaded_what_tasks_need() -> None:
    statement = "import atoll.flow.work.serve as serve; serve.prepare()"
    assert loaded_by(statement) == {"pyarrow"}


def test_what_a_package_names_is_there_when_it_is_asked_for() -> None:
    import atoll.table

    for name in atoll.table.__all__:
        assert getattr(atoll.table, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = atoll.table.nothing
