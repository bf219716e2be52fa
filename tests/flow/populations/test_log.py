"""The log of a population: what is in it, what stays, and that nothing changes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from atoll.flow.populations import log
from atoll.flow.populations.folder import MEMBERS
from atoll.flow.populations.log import Refusals
from atoll.flow.populations.store import PopulationStore
from tests.flow.populations.helpers import Clients, enrolled, population, serving


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PopulationStore]:
    with closing(PopulationStore(tmp_path / MEMBERS, lambda: 1000.0)) as made:
        yield made


def test_a_population_leaves_its_story(tmp_path: Path) -> None:
    made = population(tmp_path / "p", {"rounds": 2})
    with serving(made, count=1) as found:
        joined = [enrolled(tmp_path / f"c{n}", found.code()) for n in range(1)]
        with Clients(joined):
            assert found.wait().finished
    with closing(made.store()) as store:
        store.end(0, "stolen")
        store.end(0, "once more")
        lines = store.lines(100)
    whats = [line.what for line in lines if line.what != "refused"]
    assert whats == [
        "created", "served", "invited", "joined", "round", "round", "served", "removed",
    ]  # fmt: skip
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    found_at = {line.what: line for line in lines}
    assert found_at["joined"].who == "127.0.0.1"
    assert found_at["joined"].member == 0
    assert found_at["round"].detail.startswith("round 2: 1 of 1 answered")
    assert (found_at["removed"].who, found_at["removed"].detail) == (log.person(), "stolen")


def test_refusals_are_thinned_and_removals_never(
    store: PopulationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(log.BOUNDS, "refused", 5)
    for number in range(8):
        code, secret, _ = store.make_codes()[0]
        store.enrol(code, secret, bytes([number]) * 32, b"d", b"a", "here")
        store.end(number, "gone")
        refusals = Refusals()
        refusals.note(f"client {number}", number, "ATL-POP-004")
        store.note_refused(refusals)
    refused = store.lines(100, what="refused")
    assert [line.member for line in refused] == [3, 4, 5, 6, 7]
    assert [line.member for line in store.lines(100, what="removed")] == list(range(8))
    assert [line.number for line in store.lines(3, after=2)] == [3, 5, 6]


def test_no_line_is_changed_and_no_membership_taken_out(
    store: PopulationStore, tmp_path: Path
) -> None:
    code, secret, _ = store.make_codes()[0]
    store.enrol(code, secret, b"k" * 32, b"d", b"a", "here")
    store.end(0, "gone")
    with closing(sqlite3.connect(tmp_path / MEMBERS)) as other:
        with pytest.raises(sqlite3.IntegrityError):
            other.execute("UPDATE log SET who = 'another'")
        for what in ("joined", "removed"):
            with pytest.raises(sqlite3.IntegrityError):
                other.execute("DELETE FROM log WHERE what = ?", (what,))


def test_very_many_who_are_refused_share_a_line() -> None:
    refusals = Refusals()
    for at in range(log.MOST_REFUSERS + 50):
        refusals.note(f"192.0.2.{at}", None, "ATL-POP-019")
    found = refusals.take()
    assert len(found) == log.MOST_REFUSERS + 1
    assert (log.OTHERS, None, "ATL-POP-019", 50) in found
    assert refusals.take() == []
