"""A party that proposes a job of its own under the id of another party's job."""

from __future__ import annotations

from tests.flow.control.pair import World, make_job

HONEST, LIAR, PROPOSER = "post", "shop", "bank"


def test_the_honest_proposer_is_not_named() -> None:
    """Lie: while the proposal of one party is on its way the liar sends another of its id."""
    world = World(3)
    world[PROPOSER].submit(make_job(3))
    world[LIAR].submit(make_job(3, {"read": []}))
    world.cut.add(frozenset({HONEST, PROPOSER}))
    world.cut.add(frozenset({LIAR, PROPOSER}))
    world.rounds(2)
    honest = world[HONEST]
    assert honest.record.initiator == LIAR
    world.cut.discard(frozenset({HONEST, PROPOSER}))
    world.rounds(2)
    assert honest.record.faults == ()
    stop = honest.record.own.stop
    assert stop is not None
    assert (stop.code, stop.party) == ("ATL-FLW-025", None)
    assert honest.started() == []
