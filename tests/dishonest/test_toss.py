"""A party that wants other coins than those that were tossed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from atoll.channel import world as channels
from atoll.channel.party import Party
from atoll.core.errors import AtollError, NetworkError
from atoll.core.names import Role
from atoll.flow import control
from atoll.flow.control.facts import StepCommand
from atoll.flow.planning import COIN_STEP
from atoll.flow.policy.ledger import DatabaseLedger
from atoll.operators.coin_toss.commit import party as honest_toss
from atoll.operators.coin_toss.commit.core import Toss
from atoll.operators.coin_toss.commit.messages import Commitment, Opening
from atoll.operators.coin_toss.relayed import party as honest_relay
from atoll.operators.coin_toss.relayed.messages import Commitments, SignedOpening, SignedOpenings
from tests.dishonest.initiating import (
    FAILED,
    HONEST,
    LIAR,
    LOST,
    RETRIES,
    against,
    at_work,
    attempts,
    blamed,
    lie,
    mute,
)
from tests.flow.access.support import Wall, open_database
from tests.flow.control.pair import World, make_job
from tests.flow.policy.plans import only_psi

RUNS = 3
COMMITMENT, OPENING = "toss/commitment", "toss/opening"


# -- the toss itself: a liar beside the honest role ---------------------------------------------


def toss(lie: Callable[[Party], Any], parties: int = 2, *, relayed: bool = False) -> Any:
    """Play a toss; the first party by name lies. Return what the honest ones met."""
    names = ["bank", "shop", "tele"][:parties]
    roles = {name: Role.GUEST if name == "bank" else Role.HOST for name in names}
    honest = honest_relay if relayed else honest_toss

    def live(party: Party) -> Any:
        return lie(party) if party.name == "bank" else honest.run(party)

    def reachable(name: str) -> tuple[str, ...]:
        return ("bank",) if relayed and name != "bank" else tuple(n for n in names if n != name)

    return channels.run(roles, live, reachable=reachable)


def refusal(lived: Any, party: str = "shop") -> str:
    error = lived.errors[party]
    assert isinstance(error, AtollError)
    return error.code


def test_opening_another_value_than_committed_to() -> None:
    """Lie: the value is chosen once the other's is known. ATL-TOS-001."""

    def lie(party: Party) -> None:
        mine = Toss(party.session, party.name, bytes(64))
        party.channel.send("shop", COMMITMENT, mine.commit())
        mine.committed("shop", party.channel.receive("shop", COMMITMENT, Commitment))
        theirs = party.channel.receive("shop", OPENING, Opening)
        party.channel.send("shop", OPENING, Opening(theirs.value, bytes(32), mine.open().seen))

    assert refusal(toss(lie)) == "ATL-TOS-001"


def test_echoing_the_others_commitment_and_opening() -> None:
    """Lie: the other's own value comes back, so that both cancel out.

    The commitment hashes its sender's name: ATL-TOS-001.
    """

    def lie(party: Party) -> None:
        seen = party.channel.receive("shop", COMMITMENT, Commitment)
        party.channel.send("shop", COMMITMENT, seen)
        party.channel.send("shop", OPENING, party.channel.receive("shop", OPENING, Opening))

    assert refusal(toss(lie)) == "ATL-TOS-001"


def test_a_commitment_of_another_session() -> None:
    """Lie: commitment and opening of an earlier attempt are used again. ATL-TOS-001."""

    def lie(party: Party) -> None:
        old = Toss(bytes(32), party.name, bytes(64))
        party.channel.send("shop", COMMITMENT, old.commit())
        now = Toss(party.session, party.name, bytes(64))
        now._commitments["bank"] = old.commit().digest
        now.committed("shop", party.channel.receive("shop", COMMITMENT, Commitment))
        party.channel.receive("shop", OPENING, Opening)
        party.channel.send("shop", OPENING, now.open())

    assert refusal(toss(lie)) == "ATL-TOS-001"


def test_different_commitments_towards_different_parties() -> None:
    """Lie: each of two parties is committed another value. ATL-TOS-002."""

    def lie(party: Party) -> None:
        made = {}
        for number, peer in enumerate(("shop", "tele")):
            made[peer] = Toss(party.session, party.name, bytes([number]) * 64)
            party.channel.send(peer, COMMITMENT, made[peer].commit())
        for peer in made:
            commitment = party.channel.receive(peer, COMMITMENT, Commitment)
            for one in made.values():
                one.committed(peer, commitment)
        for peer, one in made.items():
            party.channel.send(peer, OPENING, one.open())

    lived = toss(lie, 3)
    assert {refusal(lived, "shop"), refusal(lived, "tele")} <= {"ATL-TOS-002", "ATL-NET-004"}
    assert "ATL-TOS-002" in {refusal(lived, "shop"), refusal(lived, "tele")}


NAMES = ("bank", "shop", "tele")


def committed(party: Party) -> dict[str, Commitment]:
    return {peer: party.channel.receive(peer, COMMITMENT, Commitment) for peer in NAMES[1:]}


def opened(party: Party, shown: Mapping[str, Toss]) -> dict[str, dict[str, SignedOpening]]:
    """Show each leaf the commitments of its toss, and return each one's opening, by leaf.

    The others' openings are those of ``shown``, signed with the only key that the hub has.
    """
    for peer, toss in shown.items():
        digests = tuple(toss._commitments[name] for name in NAMES)
        party.channel.send(peer, "toss/commitments", Commitments(NAMES, digests))
    found = {}
    for peer, toss in shown.items():
        found[peer] = {peer: party.channel.receive(peer, OPENING, SignedOpening)}
        mine = honest_relay._open(party, toss)
        found[peer] |= {name: mine for name in NAMES if name != peer}
    return found


def pass_on(party: Party, peer: str, openings: Mapping[str, SignedOpening]) -> None:
    values, hidden, signed = zip(
        *((o.value, o.opening, o.signature) for o in (openings[name] for name in NAMES)),
        strict=True,
    )
    party.channel.send(peer, "toss/openings", SignedOpenings(NAMES, values, hidden, signed))


def test_a_hub_that_passes_on_another_value() -> None:
    """Lie: the hub opens its own value in a leaf's name. ATL-TOS-001 or 002 at the other leaf."""

    def lie(party: Party) -> None:
        mine = Toss(party.session, party.name, bytes(64))
        for peer, commitment in committed(party).items():
            mine.committed(peer, commitment)
        found = opened(party, dict.fromkeys(NAMES[1:], mine))
        true = found["tele"]["tele"]
        pass_on(party, "shop", found["shop"] | {"tele": replace(true, value=bytes(32))})
        pass_on(party, "tele", found["tele"])

    lived = toss(lie, 3, relayed=True)
    assert (refusal(lived), refusal(lived, "tele")) == ("ATL-TOS-001", "ATL-TOS-002")


def made_up(party: Party, name: str) -> Toss:
    """Return a toss of the hub's own coins in another party's name."""
    return Toss(party.session, name, party.secret_rng.bytes(64))


def test_a_hub_that_tosses_with_each_leaf_alone() -> None:
    """Lie: the hub makes up all that it shows a leaf of the others, so that each has another seed,
    which the hub knows: choices that all should make alike differ from client to client.

    It has no signature of the others for that: ATL-TOS-002 at each leaf, against the hub.
    """
    known = {}

    def lie(party: Party) -> None:
        coins = {name: made_up(party, name) for name in NAMES}
        shown = {}
        for peer, commitment in committed(party).items():
            shown[peer] = Toss(party.session, party.name, bytes(64))
            for name, one in coins.items():
                shown[peer].committed(name, commitment if name == peer else one.commit())
        for peer, openings in opened(party, shown).items():
            for name, one in coins.items():
                if name != peer:
                    own = one.open()
                    openings[name] = replace(openings[name], value=own.value, opening=own.opening)
            known[peer] = openings
            pass_on(party, peer, openings)

    lived = toss(lie, 3, relayed=True)
    assert known["shop"]["tele"].value != known["tele"]["tele"].value
    for leaf in NAMES[1:]:
        error = lived.errors[leaf]
        assert (error.code, error.party) == ("ATL-TOS-002", "bank")
        assert leaf not in lived.results


def test_a_hub_that_passes_on_what_was_signed_for_another_view() -> None:
    """Lie: as before, with the leaves' own signatures, which are of other commitments."""

    def lie(party: Party) -> None:
        views = committed(party)
        shown = {}
        for peer in views:
            shown[peer] = made_up(party, party.name)
            for name, commitment in views.items():
                shown[peer].committed(name, commitment)
        found = opened(party, shown)
        for peer, openings in found.items():
            pass_on(party, peer, openings | {n: found[n][n] for n in NAMES[1:]})

    lived = toss(lie, 3, relayed=True)
    assert {refusal(lived, leaf) for leaf in NAMES[1:]} == {"ATL-TOS-002"}


def test_a_party_that_waits_and_breaks_off_has_seen_the_result() -> None:
    """Lie: the other's opening is waited for, and the own one kept. No toss prevents it.

    The honest party has revealed its value, and ends with a code: what it counts is below.
    """

    def lie(party: Party) -> bytes:
        mine = Toss(party.session, party.name, bytes(64))
        party.channel.send("shop", COMMITMENT, mine.commit())
        mine.committed("shop", party.channel.receive("shop", COMMITMENT, Commitment))
        mine.opened("shop", party.channel.receive("shop", OPENING, Opening))
        assert len(mine.seed()) == 32
        raise NetworkError("ATL-NET-001", "the network broke, it says")

    lived = toss(lie)
    assert refusal(lived) == "ATL-NET-004"


# -- the toss in a job: drawn anew until the coins are liked ------------------------------------


def test_breaking_off_until_the_coins_are_liked() -> None:
    """Lie: each toss is broken off when the seed is known. Gain: the best of ``runs`` seeds.

    Each takes an approved run; all are counted and shown; then ATL-POL-014.
    """
    world = against(COIN_STEP, lambda attempt: FAILED, runs=RUNS)
    assert attempts(world[HONEST], COIN_STEP) == [1, 2, 3]
    assert world[HONEST].end == ("failed", "ATL-POL-014", HONEST)
    shown = control.view(world[HONEST].record)
    assert (shown.aborted, shown.spent) == (RUNS, RUNS - 1)


def test_claiming_that_the_worker_of_the_toss_was_lost() -> None:
    """Lie: as before, as losses, which cost no retry. The same bound."""
    world = against(COIN_STEP, lambda attempt: LOST, runs=RUNS)
    assert attempts(world[HONEST], COIN_STEP) == [1, 2, 3]
    assert control.view(world[HONEST].record).aborted == RUNS


def test_drawing_again_what_ended_here() -> None:
    """Lie: the toss ended at the honest party, and the initiator commands another: ATL-FLW-005."""
    world = World().approving(9)
    liar, honest = world[LIAR], world[HONEST]
    liar.task = lambda command: None
    liar.submit(make_job(), retries=RETRIES)
    world.rounds(6)
    assert control.view(honest.record).steps[COIN_STEP].own == "success"
    mute(liar)
    for attempt in range(2, RETRIES):
        liar.forge(commands={COIN_STEP: StepCommand(attempt)})
        world.rounds(2)
    assert attempts(honest, COIN_STEP) == [1]
    assert blamed(honest) == [f"commands.{COIN_STEP}: it ended in this run, and is not drawn again"]


def test_an_honest_initiator_draws_other_coins_in_the_next_run() -> None:
    """No lie: the toss ended at one party alone. The next run tosses anew, while it is approved."""
    world = against(COIN_STEP, lambda attempt: FAILED, runs=99, state="success")
    assert control.view(world[HONEST].record).run > RUNS
    world = World().approving(RUNS)
    liar, honest = world[LIAR], world[HONEST]
    at_work(liar, COIN_STEP)
    liar.submit(make_job(), retries=RETRIES)
    lie(world, COIN_STEP, lambda attempt: FAILED)
    assert attempts(honest, COIN_STEP) == [1, 2, 3]
    assert control.view(honest.record).run == RUNS
    assert honest.end == ("failed", "ATL-FLW-023", LIAR)


def test_drawing_other_coins_in_each_run() -> None:
    """Lie: the whole job is rerun until the coins are liked. Gain: one seed for each approved run;
    the next is asked for.
    """
    world = World().approving(99)
    honest = world[HONEST]
    honest.runs = RUNS
    world[LIAR].submit(make_job())
    world.rounds(12)
    honest.policy = lambda c: control.Decided("queue", honest.now, run=c.run)
    for _ in range(RUNS):
        world[LIAR].happen(world[LIAR].record.id, control.RerunAsked(None, world[LIAR].now))
        world.rounds(12)
    assert len(attempts(honest, COIN_STEP)) == RUNS
    assert control.view(honest.record).state == "awaiting approval"


@pytest.mark.parametrize("reveals", [None, [{"receiver": LIAR, "elements": 32, "what": "…"}]])
def test_the_ledger_notes_a_toss_that_was_broken_off(tmp_path: Any, reveals: Any) -> None:
    """What a liar gained by breaking off stands in the honest party's ledger, once for each."""
    with open_database(tmp_path) as database:
        ledger = DatabaseLedger(database, HONEST, Wall())
        for attempt in (1, 1, 2):
            ledger.charge("job-1", only_psi(), COIN_STEP, attempt, reveals, aborted=True)
        noted = [line for line in ledger.entries() if line.get("aborted")]
        assert [(line["step"], line["attempt"]) for line in noted] == [
            (COIN_STEP, 1),
            (COIN_STEP, 2),
        ]
