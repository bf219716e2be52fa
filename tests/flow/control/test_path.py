"""The straight way: submit, declare, approve, admit, run, succeed."""

from __future__ import annotations

import pytest

from atoll.flow import control
from tests.flow.control.pair import JOB_ID, World, make_job


@pytest.mark.parametrize("parties", [2, 3])
def test_a_job_runs_from_submit_to_success(parties: int) -> None:
    world = World(parties)
    for node in world.nodes.values():
        node.checked = True
    world["bank"].submit(make_job(parties))
    world.rounds(12)
    for node in world.nodes.values():
        shown = control.view(node.record)
        assert (shown.state, shown.progress) == ("success", 1.0)
        started = [c for c in node.done if isinstance(c, control.StartTask)]
        assert [(c.step, c.attempt) for c in started] == [
            ("coin toss", 1),
            ("read", 1),
            ("match", 1),
            ("count", 1),
        ]
        assert [c.state for c in node.done if isinstance(c, control.Ended)] == ["success"]
        assert not node.queue.holding
        assert all(e.settled(node.record) for p, e in node.exchanges.items() if p in world.nodes)
    assert world["bank"].record.id == JOB_ID
