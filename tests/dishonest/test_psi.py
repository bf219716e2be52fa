"""Intersections with a party that lies, beside the guest or host that is shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.channel.party import Party
from atoll.channel.world import World, run
from atoll.core.names import Role
from atoll.operators import psi
from atoll.operators.psi import PsiParameters
from atoll.operators.psi.ecdh.core import Core, _TagList
from atoll.operators.psi.ecdh.messages import Bitmap, Commitment, Hello, Points, Tags, Verdict
from atoll.operators.psi.ids import OwnIds

ROLES = {"bank": Role.GUEST, "shop": Role.HOST}
PARAMETERS = PsiParameters(minimum_intersection=20, chunk_rows=128)
ROWS = 100

Liar = Callable[[Party], Any]
Rows = np.ndarray[Any, Any]


def ids(first: int, rows: int = ROWS) -> pa.Array:
    return pa.array([f"id {n:04}".encode() for n in range(first, first + rows)], pa.binary())


def against(
    honest: str, own: pa.Array, liar: Liar, parameters: PsiParameters = PARAMETERS
) -> World:
    """Run the shipped party on its ids beside a liar in the other seat."""
    other = "shop" if honest == "bank" else "bank"

    def shipped(party: Party) -> Any:
        return psi.run(party, own, parameters)

    return run(ROLES, {honest: shipped, other: liar})


def refused(world: World, honest: str, code: str) -> None:
    assert getattr(world.errors.get(honest), "code", None) == code, world.errors
    assert honest not in world.results


class Lying:
    """One chunk each way, with the steps of the protocol at hand and in no fixed order."""

    def __init__(self, party: Party, own: pa.Array, parameters: PsiParameters = PARAMETERS) -> None:
        self.party = party
        (self.peer,) = party.roles.keys() - {party.name}
        ours = OwnIds(own, party.limits)
        secret = party.secret_rng
        self.core = Core(party.role, ours, parameters, party.session, secret, party.limits)

    @property
    def width(self) -> int:
        """How many bytes of a tag are sent."""
        return int(vars(self.core)["_width"])

    def send(self, name: str, message: Any) -> None:
        self.party.channel.send(self.peer, f"psi/{name}", message)

    def take(self, name: str, kind: Any) -> Any:
        return self.party.channel.receive(self.peer, f"psi/{name}", kind)

    def greet(self) -> None:
        self.send("hello", self.core.hello())
        self.core.agree(self.take("hello", Hello))

    def points(self, made: Points | None = None) -> Points:
        """Exchange points, those of an honest party unless others; return those of the peer."""
        self.send("points", made or self.core.points(0))
        received: Points = self.take("points", Points)
        self.core.take_points(0, received)
        self.core.check_points()
        return received

    def commit(self, tags: Rows) -> Tags:
        """Exchange commitments, the own one to these tags; return what opens it."""
        opened, own = Tags(0, bytes(32), tags), _TagList(self.party.session, self.party.role)
        own.add(opened)
        self.send("commitment", Commitment(own.digest()))
        self.take("commitment", Commitment)
        return opened

    def tags(self, own: Tags | None = None) -> Tags:
        """Exchange tags, those of an honest party unless others; return those of the peer."""
        self.send("tags", own or self.commit(self.core.tags(0).tags))
        theirs: Tags = self.take("tags", Tags)
        return theirs

    def finish(self, bits: int) -> int:
        """Say that it is enough, claim the first ``bits`` of the peer's ids; return how many it
        is told of its own.
        """
        self.send("verdict", Verdict(True))
        assert self.take("verdict", Verdict).accepted
        claimed = np.arange(ROWS) < bits
        self.send("bitmap", Bitmap(0, np.packbits(claimed, bitorder="little")))
        found = np.unpackbits(self.take("bitmap", Bitmap).bits, bitorder="little")
        return int(np.count_nonzero(found))


@pytest.mark.parametrize("honest", ["bank", "shop"])
def test_tags_that_come_back_as_they_were_sent_are_refused(honest: str) -> None:
    """The liar waits for the tags of its own list and returns them as those of the other's.

    With one tag for both directions every id counted as common, and the honest party went on with
    rows of the liar's choice. Rules: tags hash their sender's seat (PROTOCOLS 4), and the liar
    commits to its own before it sees any, ATL-PSI-012.
    """

    def liar(party: Party) -> int:
        lie = Lying(party, ids(5000))
        lie.greet()
        lie.points()
        made = lie.commit(lie.core.tags(0).tags)
        theirs: Tags = lie.take("tags", Tags)
        lie.send("tags", replace(made, tags=theirs.tags[::-1].copy()))
        return lie.finish(ROWS)

    refused(against(honest, ids(0), liar), honest, "ATL-PSI-012")


@pytest.mark.parametrize("honest", ["bank", "shop"])
@pytest.mark.parametrize("echoed", [19, 60, 99])
def test_few_true_tags_among_echoed_ones_do_not_pass_the_minimum(honest: str, echoed: int) -> None:
    """One id is truly in common; the liar fills up the minimum with tags that it was sent.

    It passed the minimum of 20 and was told which candidate the other has. ATL-PSI-012.
    """

    def liar(party: Party) -> int:
        lie = Lying(party, ids(ROWS - 1))
        lie.greet()
        lie.points()
        made = lie.commit(lie.core.tags(0).tags)
        theirs: Tags = lie.take("tags", Tags)
        mixed = np.concatenate([theirs.tags[:echoed], made.tags[echoed:]])
        lie.send("tags", replace(made, tags=mixed))
        return lie.finish(echoed + 1)

    refused(against(honest, ids(0), liar), honest, "ATL-PSI-012")


@pytest.mark.parametrize("honest", ["bank", "shop"])
def test_points_that_come_back_as_they_were_sent_are_refused(honest: str) -> None:
    """The liar has no ids: it masks nothing and sends the other's own points. ATL-PSI-011."""

    def liar(party: Party) -> None:
        lie = Lying(party, ids(5000))
        lie.greet()
        theirs: Points = lie.take("points", Points)
        lie.send("points", Points(0, theirs.points[::-1].copy()))
        lie.take("tags", Tags)

    refused(against(honest, ids(0), liar), honest, "ATL-PSI-011")


def _other_half(core: Core) -> Rows:
    """The tags that the peer would have sent, had it held the same ids."""
    held: Rows = vars(core)["_held"]
    return held


@pytest.mark.parametrize("honest", ["bank", "shop"])
def test_tags_of_the_other_seat_find_nothing(honest: str) -> None:
    """The liar computes true tags, but those of the other's seat; all ids are in common.

    Without the seat these are the honest tags. Rule: they match nothing, ATL-PSI-004.
    """

    def liar(party: Party) -> int:
        lie = Lying(party, ids(0))
        lie.greet()
        lie.points()
        lie.tags(lie.commit(_other_half(lie.core)[:, : lie.width].copy()))
        return lie.finish(ROWS)

    refused(against(honest, ids(0), liar), honest, "ATL-PSI-004")


class _Kept:
    """What a liar keeps of one run for the next."""

    points: Points
    tags: Tags


def test_what_was_sent_in_one_run_is_worth_nothing_in_the_next() -> None:
    """The liar replays the other's points of a former run, and that run's tags, in a later one.

    Rule: scalars are fresh and the session enters points and tags (PROTOCOLS 1): nothing matches,
    ATL-PSI-004.
    """
    kept = _Kept()

    def honest_but_curious(party: Party) -> int:
        lie = Lying(party, ids(0))
        lie.greet()
        kept.points = lie.points()
        kept.tags = lie.tags()
        return lie.finish(ROWS)

    def replaying(party: Party) -> int:
        lie = Lying(party, ids(0))
        lie.greet()
        lie.send("points", kept.points)
        lie.core.take_points(0, lie.take("points", Points))
        lie.tags(lie.commit(kept.tags.tags))
        return lie.finish(ROWS)

    first = against("bank", ids(0), honest_but_curious)
    assert first.check().results["bank"].count == ROWS
    refused(against("bank", ids(0), replaying), "bank", "ATL-PSI-004")


def test_ids_that_are_made_up_are_found_out_and_no_more() -> None:
    """The liar's table holds guesses: it learns which of them the other has, as the plan warns.

    The gain: bits about its own guesses alone, as many as it has rows; one run of the ledger's
    ``psi_runs`` (see the whole job below).
    """

    def liar(party: Party) -> Any:
        return psi.run(party, ids(50), PARAMETERS)

    world = against("shop", ids(0), liar).check()
    assert world.results["bank"].indices.tolist() == list(range(50))
    assert world.results["shop"].count == 50


def test_a_liar_that_stops_after_the_tags_knows_the_count_alone() -> None:
    """The liar leaves once it can count. Gain: the count, declared also for refused runs."""

    def liar(party: Party) -> int:
        lie = Lying(party, ids(50))
        lie.greet()
        lie.points()
        theirs = {bytes(row) for row in lie.tags().tags}
        count = sum(bytes(row[: lie.width]) in theirs for row in _other_half(lie.core))
        party.channel.transport.abort("ATL-PSI-004", "psi")
        return count

    world = against("bank", ids(0), liar)
    assert world.results["shop"] == 50
    assert "bank" in world.errors
    sent = world.channels["bank"].disclosures.counts
    assert {kind for (_, _, kind, _), n in sent.items() if n} <= {
        Hello.kind,
        Tags.kind,
        Verdict.kind,
        Bitmap.kind,
    }


def _marked(tags: Rows) -> Iterator[Rows]:
    """Lists in which one tag is another's, so that its place shows after the shuffle."""
    twice = tags.copy()
    twice[1] = twice[0]
    yield twice


def test_a_tag_or_point_that_is_marked_by_repetition_is_refused() -> None:
    """The liar repeats a point to follow it through the shuffle. Rule: ATL-PSI-008."""

    def liar(party: Party) -> None:
        lie = Lying(party, ids(0))
        lie.greet()
        made = lie.core.points(0)
        (marked,) = _marked(made.points)
        lie.send("points", replace(made, points=marked))
        lie.take("points", Points)

    refused(against("bank", ids(0), liar), "bank", "ATL-PSI-008")


def test_more_bits_than_were_counted_are_refused() -> None:
    """The liar marks more of the other's rows as common than both counted. Rule: ATL-PSI-009."""

    def liar(party: Party) -> int:
        lie = Lying(party, ids(50))
        lie.greet()
        lie.points()
        lie.tags()
        return lie.finish(51)

    refused(against("bank", ids(0), liar), "bank", "ATL-PSI-009")


def test_a_count_of_our_own_making_marks_rows_of_its_choice_and_no_more() -> None:
    """The liar marks as many rows as counted, but others. Gain: a wrong result, no knowledge.

    The honest party goes on with rows that the other does not hold; nobody can tell. It learns
    nothing that it would not have learnt.
    """

    def liar(party: Party) -> int:
        lie = Lying(party, ids(50))
        lie.greet()
        lie.points()
        lie.tags()
        return lie.finish(50)

    world = against("bank", ids(0), liar).check()
    assert world.results["shop"] == 50
    assert world.results["bank"].count == 50
