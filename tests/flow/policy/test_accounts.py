"""The accounts against a slow count over the same story of jobs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.flow.policy.accounts import CHARGE, COMMITMENT, RESERVE, SETTLE, WHOLE, Accounts
from atoll.flow.policy.counts import NAMES, Counts

JOBS, STEPS = ("one", "two"), ("match", "train")


def body(job: str, step: str, counts: Counts, **more: Any) -> dict[str, Any]:
    fixed = {"run": job, "plan": "p", "table": "t", "digest": "d", "partner": "bank", "step": step}
    return {**fixed, "counts": counts.plain(), **more}


reserve = st.tuples(st.just(RESERVE), st.sampled_from(JOBS), st.sampled_from(STEPS))
charge = st.tuples(st.just(CHARGE), st.sampled_from(JOBS), st.sampled_from(STEPS))
settle = st.tuples(st.just(SETTLE), st.sampled_from(JOBS), st.just(""))
stories = st.lists(reserve | charge | settle, max_size=30)


def lines(story: list[tuple[str, str, str]]) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    opened = set[str]()
    for number, (kind, job, step) in enumerate(story):
        if kind == SETTLE:
            found.append((SETTLE, {"run": job}))
            opened.discard(job)
        elif kind == RESERVE:
            if job not in opened:
                found.append((RESERVE, body(job, WHOLE, Counts(runs=1))))
                opened.add(job)
            found.append((RESERVE, body(job, step, Counts(psi_runs=2))))
        else:
            found.append((CHARGE, body(job, step, Counts(psi_runs=1), attempt=number)))
    return found


def slowly(story: list[tuple[str, dict[str, Any]]]) -> tuple[int, int]:
    """Return runs and PSI runs: per job and period between settlements, per step."""
    runs = psi = 0
    for job in JOBS:
        reserved: dict[str, int] = {}
        charged: dict[str, int] = {}
        is_open = False
        for kind, line in [*story, ("end", {"run": job})]:
            if line["run"] != job:
                continue
            if kind == RESERVE:
                is_open = True
                amount = line["counts"].get("psi_runs", 0)
                reserved[line["step"]] = reserved.get(line["step"], 0) + amount
            elif kind == CHARGE and is_open:
                charged[line["step"]] = charged.get(line["step"], 0) + 1
            elif kind == CHARGE:
                psi += 1
            elif kind == SETTLE and is_open:
                psi += sum(charged.values())
                runs += bool(charged)
                reserved, charged, is_open = {}, {}, False
            elif kind == "end" and is_open:
                steps = reserved.keys() | charged.keys()
                psi += sum(max(reserved.get(s, 0), charged.get(s, 0)) for s in steps)
                runs += 1
    return runs, psi


@given(stories)
def test_the_accounts_are_what_a_slow_count_says(story: list[tuple[str, str, str]]) -> None:
    accounts, written = Accounts(), lines(story)
    for kind, line in written:
        accounts.take(kind, line)
    used = accounts.used("t", None, "bank")
    assert (used.runs, used.psi_runs) == slowly(written)


@given(stories, st.data())
def test_settling_never_takes_away_what_was_charged(
    story: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    accounts = Accounts()
    written = lines(story)
    charged = sum(kind == CHARGE for kind, _ in written)
    for kind, line in written:
        accounts.take(kind, line)
    before = accounts.used("t", None, "bank")
    accounts.take(SETTLE, {"run": data.draw(st.sampled_from(JOBS))})
    after = accounts.used("t", None, "bank")
    assert after.psi_runs >= charged
    assert all(getattr(after, name) <= getattr(before, name) for name in NAMES)


def test_what_is_settled_leaves_nothing_of_what_was_reserved() -> None:
    """Also of ε, which no float adds and takes away without a rest."""
    accounts = Accounts()
    amounts = {f"job{at}": Counts(epsilon=0.1 * at, rows=at) for at in range(1, 8)}
    for job, counts in amounts.items():
        accounts.take(RESERVE, body(job, "train", counts))
    open_now = accounts.used("t", "d", "bank")
    assert open_now.rows == 28
    assert open_now.epsilon == pytest.approx(2.8)
    assert accounts.used("t", None, "bank") == accounts.used("other", "d", "bank") == open_now
    for job in amounts:
        accounts.take(CHARGE, body(job, "train", Counts(epsilon=0.05), attempt=1))
    assert accounts.used("t", "d", "bank") == open_now
    for job in amounts:
        accounts.take(SETTLE, {"run": job})
    left = accounts.used("t", "d", "bank")
    assert (left.runs, left.rows) == (7, 0)
    assert left.epsilon == pytest.approx(0.35)
    assert accounts.used("t", "d", "shop") == accounts.used("x", "y", "bank") == Counts()


@given(stories, st.integers(0, 60), st.sampled_from([("d1", "d2"), ("d2", "d1")]))
def test_accounts_of_two_digests_of_the_same_rows_are_one(
    story: list[tuple[str, str, str]], at: int, pair: tuple[str, str]
) -> None:
    """Whenever the ledger states it: what was charged and reserved before counts all the same."""
    whole, apart = Accounts(), Accounts()
    stated = (COMMITMENT, {"run": "", "commitment": pair[0], "digest": pair[1]})
    made = lines(story)
    for kind, line in made:
        whole.take(kind, line)
    named = [
        (kind, {**line, "digest": "d1" if line["run"] == "one" else "d2", "table": line["run"]})
        for kind, line in made
    ]
    for kind, line in [*named[:at], stated, *named[at:]]:
        apart.take(kind, line)
    for digest in ("d1", "d2"):
        assert apart.used("elsewhere", digest, "bank") == whole.used("t", "d", "bank")
    # And a job that is under way goes on with what it has reserved.
    for job, account in apart.open.items():
        for key, steps in account.steps.items():
            assert key.digest == pair[1]
            for step in steps:
                (kept,) = whole.open[job].steps
                assert account.covers(key, step) == whole.open[job].covers(kept, step)
