"""Histories of jobs, recorded once, go the same way through today's machine."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from tests.flow.control.histories import FORMAT, NotTheSame, replay
from tests.flow.control.record_histories import ENDS, SCENARIOS
from tests.vectors import files

FILES = {path.stem: path for path in files.names("histories")}


def test_there_is_a_history_of_every_scenario_and_they_are_small() -> None:
    assert FILES.keys() == SCENARIOS.keys() == ENDS.keys()
    assert sum(path.stat().st_size for path in FILES.values()) < 250_000


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_todays_machine_does_what_it_did(path: Path) -> None:
    history = files.read(path)
    assert history["format"] == FORMAT
    assert set(replay(history).values()) == ENDS[path.stem]


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_the_machine_does_the_same_in_the_world_that_was_recorded(path: Path) -> None:
    """Recording it again replays too: the recorder leaves nothing out that matters."""
    assert set(replay(SCENARIOS[path.stem]().rows()).values()) == ENDS[path.stem]


def _other_event(steps: list[Any]) -> None:
    reported = [step for step in steps if step[1] == "TaskReported"]
    reported[0][2]["state"] = "failed"


def _other_command(steps: list[Any]) -> None:
    [step for step in steps if step[3]][-1][3].pop()


def _other_record(steps: list[Any]) -> None:
    steps[5][4] = "0" * 32


def _lost_event(steps: list[Any]) -> None:
    steps.remove(next(step for step in steps if step[1] == "Declared"))


@pytest.mark.parametrize("change", [_other_event, _other_command, _other_record, _lost_event])
def test_a_difference_is_noticed(change: Any) -> None:
    history = copy.deepcopy(files.read(FILES["plain"]))
    change(history["steps"])
    with pytest.raises(NotTheSame):
        replay(history)
