"""Either party dies at any message of the main job, in virtual time."""

from __future__ import annotations

import pytest

from atoll.channel.faulty import Fault, Killed
from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.jobs.definition import Job, parse_job
from tests import whole
from tests.components.test_main_job import job, tables

OTHER = {"bank": "shop", "shop": "bank"}
HELD = tables(90)


def _fixed() -> Job:
    """Hold the same rows out in each run, so that each has as many messages."""
    document = job(trees=1, depth=2, minimum_rows=5).model_dump(mode="json")
    document["steps"]["split"]["parameters"] = {"seed": 3}
    return parse_job(document)


JOB = _fixed()


def play(victim: str, at: int) -> whole.Whole:
    return whole.play(JOB, HELD, CATALOGUE, faults={victim: Fault("kill", at)})


@pytest.mark.parametrize("victim", sorted(OTHER))
def test_the_other_party_ends_with_peer_lost(victim: str) -> None:
    survivor = OTHER[victim]
    messages = play(victim, 10**9).check().messages[victim]
    assert messages > 25
    for at in range(messages):
        found = play(victim, at)
        assert isinstance(found.errors[victim], Killed), f"message {at}"
        if survivor in found.results:
            # The victim had said its last word in the step: the survivor keeps what it has.
            continue
        error = found.errors[survivor]
        assert isinstance(error, AtollError), f"message {at}: {error!r}"
        assert (error.code, error.party) == ("ATL-NET-001", victim), f"message {at}: {error}"
        assert error.phase, f"message {at}"
