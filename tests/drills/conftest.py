"""Two real nodes that the drills share; each drill leaves them running and well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from atoll.flow.node.jobs.fault_injection import KILL_COMMIT
from tests.drills.acts import Pair, order_of
from tests.e2e import nodes
from tests.e2e.nodes import TestNode, fill


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TestNode]]:
    """Make two nodes with tables and grants; they run when this is handed out."""
    root = tmp_path_factory.mktemp("drills")
    made = nodes.make(root, "bank", "shop")
    try:
        for node in made.values():
            # A start takes its time on a busy machine: no partner is lost over it.
            node.settings["jobs.peer_seconds"] = "60"
            start_faulty(node)
        fill(made, root)
        yield made
    finally:
        for node in made.values():
            node.stop()


@pytest.fixture
def two(shared: dict[str, TestNode]) -> Iterator[Pair]:
    """Hand out the shared nodes, and bring back to life whatever a failed drill left."""
    for node in shared.values():
        order_of(node).unlink(missing_ok=True)
        if node.folder.running() is None:
            start_faulty(node)
    yield Pair(shared)
    for node in shared.values():
        order_of(node).unlink(missing_ok=True)


def start_faulty(node: TestNode) -> None:
    """Start a node that can be told to die at a commit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KILL_COMMIT, str(order_of(node)))
        node.start().close()
