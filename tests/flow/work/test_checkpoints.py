"""Checkpoints: what is kept and read back, on which round seats agree, what is never done twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from atoll.channel import world
from atoll.channel.party import Party
from atoll.components.api import Component, Result, Task
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.flow.planning import COIN_STEP
from atoll.flow.work.checkpoints import FileCheckpoints
from atoll.flow.work.greeting import Meeting, greet
from atoll.flow.work.messages import Hello, Roster, RoundMark
from atoll.flow.work.session import session_id
from atoll.jobs.definition import Job, parse_job
from tests.flow import toy
from tests.flow.work import little
from tests.flow.work.test_execute import codes

ONE, TWO = b"1" * 32, b"2" * 32
STATE: dict[str, Any] = {
    "text": "ä",
    "none": None,
    "flags": [True, False],
    "deep": {"numbers": [1, -2, 1 << 40], "bytes": b"\x00\xff", "float": 0.1},
}


def refused(code: str) -> pytest.RaisesExc[AtollError]:
    return pytest.RaisesExc(AtollError, check=lambda error: error.code == code)


def fresh(folder: Path, seat: str = "bank", plan: str = "plan") -> FileCheckpoints:
    return FileCheckpoints(folder, seat, (plan, "step", "code"))


def entered(folder: Path, begin: RoundMark | None = None, mark: bytes = ONE) -> FileCheckpoints:
    store = fresh(folder)
    store.enter(begin, mark)
    return store


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    arrays = {
        "floats": np.array([[0.1, np.nan], [-0.0, np.inf]]),
        "bytes": np.arange(6, dtype=np.uint8)[::2],
        "turned": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "empty": np.empty((0, 3), dtype=np.int64),
    }
    entered(tmp_path).save(3, STATE | arrays | {"list": [arrays["bytes"]]})
    (held,) = fresh(tmp_path).held()
    assert held == (3, ONE)
    found = entered(tmp_path, held, TWO).resume_point()
    assert found is not None
    round_, state = found
    assert round_ == 3
    assert {name: state[name] for name in STATE} == STATE
    for name, array in arrays.items():
        np.testing.assert_array_equal(state[name], array)
        assert state[name].dtype == array.dtype
        assert state[name].flags.writeable
    np.testing.assert_array_equal(state["list"][0], arrays["bytes"])


@pytest.mark.parametrize(
    "value", [object(), {1: 2}, 1 << 70, {"": 1}, np.array([object()]), np.array([True]), {1}]
)
def test_a_state_of_another_form_is_refused(tmp_path: Path, value: Any) -> None:
    with refused("ATL-WRK-011"):
        entered(tmp_path).save(1, {"value": value})
    with refused("ATL-WRK-011"):
        entered(tmp_path).save(0, {})


def test_the_newest_two_rounds_are_kept_and_private(tmp_path: Path) -> None:
    store = entered(tmp_path / "new")
    for round_ in range(1, 12):
        store.save(round_, STATE)
    assert [held.round for held in store.held()] == [10, 11]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"bank.10", "bank.11"}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_seats_keep_their_own(tmp_path: Path) -> None:
    entered(tmp_path).save(1, STATE)
    other = fresh(tmp_path, "bank:arbiter")
    assert not other.held()
    other.enter(None, ONE)
    other.save(4, STATE)
    assert [held.round for held in fresh(tmp_path).held()] == [1]


def test_what_is_damaged_or_of_another_plan_is_not_held(tmp_path: Path) -> None:
    store = entered(tmp_path)
    store.save(1, STATE)
    store.save(2, STATE)
    assert not fresh(tmp_path, plan="another").held()
    path = tmp_path / "bank.2"
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:20], b"", whole[:40] + b"x" + whole[41:]):
        path.write_bytes(damaged)
        assert [held.round for held in fresh(tmp_path).held()] == [1]
    # A file under another round's name is none either.
    path.write_bytes((tmp_path / "bank.1").read_bytes())
    assert [held.round for held in fresh(tmp_path).held()] == [1]


def test_rounds_beyond_the_agreed_one_are_forgotten(tmp_path: Path) -> None:
    store = entered(tmp_path)
    store.save(1, STATE)
    store.save(2, STATE)
    entered(tmp_path, RoundMark(1, ONE), TWO).save(2, STATE)
    assert fresh(tmp_path).held() == ((1, ONE), (2, TWO))
    entered(tmp_path, None, TWO)
    assert not fresh(tmp_path).held()


def test_a_place_that_cannot_be_written_costs_the_checkpoint_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = entered(tmp_path / "gone")
    store._folder = tmp_path / "file" / "below"
    store.save(1, STATE)
    assert "no checkpoint at round 1" in caplog.text
    # What must be durable before anything is revealed is not passed over.
    with refused("ATL-WRK-009"):
        store.spend(0)


def test_a_round_that_is_spent_is_never_begun_again(tmp_path: Path) -> None:
    store = entered(tmp_path)
    store.save(1, STATE)
    store.spend(1)
    store.spend(0)
    for begin in (RoundMark(1, ONE), None):
        with refused("ATL-WRK-010"):
            fresh(tmp_path).enter(begin, TWO)
    fresh(tmp_path).enter(RoundMark(2, ONE), TWO)


# -- between seats --------------------------------------------------------------------------------


class Parameters(BaseModel):
    """Where a seat dies, as ``party/round``; whether each round is done once only."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fail: str = ""
    once: bool = False


ROUNDS = 4


def _count(task: Task, parameters: Parameters) -> Result:
    party = task.party
    found = party.resume()
    first, total = (0, 0) if found is None else (found[0], found[1]["total"])
    for round_ in range(first, ROUNDS):
        if parameters.once:
            party.once(round_)
        if parameters.fail == f"{party.name}/{round_}":
            raise ValueError("it dies here")
        for peer in party.peers:
            party.channel.send(peer, "number", little.Number(10**round_))
        for peer in party.peers:
            total += party.channel.receive(peer, "number", little.Number).value
        party.checkpoint(round_ + 1, {"total": total})
    return Result({"sum": {"total": total, "first": first}})


COUNT = dataclasses.replace(little.SWAP, name="swap", parameters=Parameters, run=_count)
CATALOGUE: dict[str, Component] = {**little.SMALL, "swap": COUNT}
STAR = ("guest host",)


class Crew:
    """Three parties whose attempts at the step follow each other."""

    def __init__(self, folder: Path, edges: tuple[str, ...] | None = None) -> None:
        parties = {"bank": "guest", "mill": "host", "shop": "host"}
        plain = little.small_job().model_dump(mode="json") | {"parties": parties}
        names = {"bank": "loans", "mill": "visits", "shop": "visits"}
        plain["steps"]["reader"]["parameters"]["tables"] = names
        plain["steps"]["swap"]["parameters"] = {}
        self.job: Job = parse_job(plain)
        tables = little.small_tables() | {"mill": {"visits": toy.table(4, label=False)}}
        self.places = little.nodes(folder, tables)
        self.edges = edges
        self.attempt = 0
        for step in (COIN_STEP, "reader"):
            specs = {p: at.spec(self.job, step, CATALOGUE) for p, at in self.places.items()}
            for party, result in little.play(specs, CATALOGUE).check().results.items():
                self.places[party].results[step] = result

    def kept(self, party: str) -> Path:
        return self.places[party].folder / "checkpoints"

    def run(self, **parameters: Any) -> world.World:
        self.attempt += 1
        changes: dict[str, Any] = {"parameters": parameters, "attempt": self.attempt}
        if self.edges is not None:
            changes["edges"] = self.edges
        specs = {
            party: at.spec(self.job, "swap", CATALOGUE, checkpoints=self.kept(party), **changes)
            for party, at in self.places.items()
        }
        return little.play(specs, CATALOGUE)

    def sums(self, done: world.World) -> dict[str, Any]:
        found = {}
        for party, result in done.check().results.items():
            self.places[party].results["swap"] = result
            found[party] = self.places[party].value("swap", "sum")
        return found


def totals(sums: Mapping[str, Any]) -> dict[str, int]:
    return {party: value["total"] for party, value in sums.items()}


def firsts(sums: Mapping[str, Any]) -> set[int]:
    return {value["first"] for value in sums.values()}


@pytest.mark.parametrize("edges", [None, STAR])
@pytest.mark.parametrize("victim", ["bank", "shop"])
def test_all_go_on_at_the_newest_round_that_all_hold(
    tmp_path: Path, edges: tuple[str, ...] | None, victim: str
) -> None:
    whole, cut = Crew(tmp_path / "whole", edges), Crew(tmp_path / "cut", edges)
    expected = whole.sums(whole.run())
    assert firsts(expected) == {0}
    assert cut.run(fail=f"{victim}/1").errors
    assert cut.run(fail=f"{victim}/2").errors
    found = cut.sums(cut.run())
    assert firsts(found) == {2}
    assert totals(found) == totals(expected)


@pytest.mark.parametrize("edges", [None, STAR])
def test_who_lost_its_checkpoints_takes_all_to_the_beginning(
    tmp_path: Path, edges: tuple[str, ...] | None
) -> None:
    crew = Crew(tmp_path, edges)
    assert crew.run(fail="shop/2").errors
    for path in crew.kept("mill").iterdir():
        path.unlink()
    assert firsts(crew.sums(crew.run())) == {0}


def test_rounds_of_different_attempts_do_not_fit_together(tmp_path: Path) -> None:
    one, other = Crew(tmp_path / "one"), Crew(tmp_path / "other")
    for crew in (one, other):
        assert crew.run(fail="shop/2").errors
    for path in one.kept("mill").iterdir():
        path.write_bytes((other.kept("mill") / path.name).read_bytes())
    assert firsts(one.sums(one.run())) == {0}


def test_a_round_that_is_done_once_ends_the_step_at_all(tmp_path: Path) -> None:
    crew = Crew(tmp_path)
    assert crew.run(fail="shop/2", once=True).errors
    assert "ATL-WRK-010" in codes(crew.run(once=True)).values()


def test_a_hub_cannot_send_a_seat_to_a_round_that_it_does_not_hold() -> None:
    hello = Hello(
        "job", "plan", "step", 1, "swap", "1", "code", b"n" * 16, (3,), (ONE,), b"", b"", b""
    )

    def hub(party: Party) -> None:
        party.channel.receive("shop", "hello", Hello)
        none = (b"", b"")
        roster = Roster(("bank", "shop"), (b"b" * 16, b"n" * 16), 3, TWO, none, none, none)
        party.channel.send("shop", "hello", hello)
        party.channel.send("shop", "roster", roster)

    def seat(party: Party) -> None:
        greet(Meeting(party, "bank", {}), hello, 5.0)

    roles = {"bank": Role.GUEST, "shop": Role.HOST}
    done = world.run(roles, {"bank": hub, "shop": seat})
    assert codes(done) == {"shop": "ATL-WRK-007"}


def test_seats_that_begin_at_different_rounds_do_not_meet() -> None:
    nonces = {"bank": b"b" * 16, "shop": b"s" * 16}
    sessions = [session_id("job", "step", 2, bytes(32), nonces, begin) for begin in (3, 4)]
    assert sessions[0] != sessions[1]


def test_seats_that_hold_different_seeds_do_not_meet() -> None:
    nonces = {"bank": b"b" * 16, "shop": b"s" * 16}
    sessions = [session_id("job", "step", 2, seed, nonces) for seed in (bytes(32), b"1" * 32)]
    assert sessions[0] != sessions[1]


def test_a_question_is_answered_once_in_all_attempts(tmp_path: Path) -> None:
    first = fresh(tmp_path)
    assert first.answer(ONE, TWO) == TWO
    assert first.answer(ONE, ONE) == TWO
    again = fresh(tmp_path)
    assert again.answer(ONE, ONE) == TWO
    assert again.answer(TWO, ONE) == ONE
    assert fresh(tmp_path, seat="shop").answer(ONE, ONE) == ONE


def test_an_answer_that_was_torn_was_never_given(tmp_path: Path) -> None:
    fresh(tmp_path).answer(ONE, TWO)
    (path,) = tmp_path.glob("*.answers")
    path.write_bytes(path.read_bytes() + TWO + b"x")
    assert fresh(tmp_path).answer(TWO, ONE) == ONE
    assert fresh(tmp_path).answer(ONE, ONE) == TWO


def test_an_answer_that_cannot_be_kept_is_not_given(tmp_path: Path) -> None:
    (tmp_path / "bank.answers").mkdir()
    with refused("ATL-WRK-009"):
        fresh(tmp_path).answer(ONE, TWO)
