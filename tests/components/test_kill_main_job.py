"""Either party dies at any message of the main job, in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from atoll.channel.faulty import Fault, FaultyTransport, Killed
from atoll.channel.party import Party
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.flow.runner import Outcome, run
from atoll.jobs.definition import Job, parse_job
from atoll.sim import world
from tests.components.test_main_job import job, tables
from tests.flow import toy

OTHER = {"bank": "shop", "shop": "bank"}
HELD = tables(90)


def _fixed() -> Job:
    """Hold the same rows out in each run, so that each has as many messages."""
    whole = job(trees=1, depth=2, minimum_rows=5).model_dump(mode="json")
    whole["steps"]["split"]["parameters"] = {"seed": 3}
    return parse_job(whole)


JOB = _fixed()


def play(folder: Path, victim: str, at: int) -> world.World:
    def live(party: Party) -> Outcome:
        changes = {"job": JOB, "catalogue": CATALOGUE, "tables": HELD[party.name]}
        return run(toy.bring(party, folder, **changes))

    roles = {"bank": Role.GUEST, "shop": Role.HOST}
    return world.run(roles, live, faults={victim: [Fault("kill", at)]})


@pytest.mark.parametrize("victim", sorted(OTHER))
def test_the_other_party_ends_with_peer_lost(tmp_path: Path, victim: str) -> None:
    survivor = OTHER[victim]
    whole = play(tmp_path / "whole", victim, 10**9).check().transports[victim]
    assert isinstance(whole, FaultyTransport)
    assert whole.passed > 25
    for at in range(whole.passed):
        found = play(tmp_path / str(at), victim, at)
        assert isinstance(found.errors[victim], Killed), f"message {at}"
        if at == whole.passed - 1:
            # The victim had said its last word: the survivor may publish what it has.
            assert survivor in found.results
            continue
        error = found.errors[survivor]
        assert isinstance(error, AtollError), f"message {at}: {error!r}"
        assert (error.code, error.party) == ("ATL-NET-001", victim), f"message {at}: {error}"
        assert error.phase, f"message {at}"
        assert not list((tmp_path / str(at)).glob("*/runs/*")), f"message {at}"
