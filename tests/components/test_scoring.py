"""Sessions of ``scoring`` with two hosts and a kind of others: look-ups, bounds, reveals, lies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.components.api import Facts, OwnFacts, Task
from atoll.components.references import PART, Registered
from atoll.components.scoring import SCORING, ScoringParameters, check, describe, serve
from atoll.components.scoring_messages import BATCH_ROWS, Ask, Found, Score
from atoll.core.errors import AtollError, UserError
from atoll.core.names import Role
from atoll.core.reveal import evaluate
from atoll.jobs.errors import DeniedError
from atoll.models.kinds import table_of
from atoll.table import Table
from tests.components import tally
from tests.held import HeldTables

GUEST, HOSTS = "bank", ("mill", "shop")
ROLES = {GUEST: Role.GUEST, **dict.fromkeys(HOSTS, Role.HOST)}
KINDS = table_of([tally.MODEL])
PARTIES = tuple(sorted(ROLES))
ROWS = {"bank": range(100), "mill": range(10, 80), "shop": range(20, 90)}


def table(party: str) -> Table:
    rng = np.random.default_rng(len(party) + ord(party[0]))
    rows = ROWS[party]
    values = {f"{party}{at}": rng.normal(size=len(rows)) for at in range(2)}
    return Table.from_columns([f"p{at}" for at in rows], values)


TABLES = {party: table(party) for party in PARTIES}


def part(party: str) -> tally.Weights:
    weights = tuple((f"{party}{at}", 0.5 + at) for at in (1, 0))
    return tally.Weights(party, PARTIES, weights)


def parameters(**changes: Any) -> ScoringParameters:
    whole = {
        "model": "m",
        "kind": "tally.model",
        "tables": dict.fromkeys(PARTIES, "rows"),
        "per_day": 100,
        "most": 100,
        "until": "2999-12-31",
    }
    return ScoringParameters.model_validate({**whole, **changes})


class Asked:
    """A request of a test; it keeps what became of it."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.body = body
        self.found: Any = None

    def answer(self, body: Mapping[str, Any]) -> None:
        self.found = body

    def fail(self, error: AtollError) -> None:
        self.found = error


class Counted:
    """Requests of one seat, and a bound on its rows."""

    def __init__(self, asked: Sequence[Asked] = (), bound: int = 1000) -> None:
        self.waiting = deque(asked)
        self.left = bound
        self.spent: list[int] = []

    def next(self, wait_seconds: float) -> Asked | None:
        return self.waiting.popleft() if self.waiting else None

    def spend(self, units: int) -> None:
        if units > self.left:
            raise DeniedError("ATL-AGR-004", "the day's bound is used up")
        self.left -= units
        self.spent.append(units)

    @property
    def closing(self) -> bool:
        return not self.waiting


def play(
    asked: Sequence[Asked],
    bounds: Mapping[str, int] | None = None,
    entries: Mapping[str, Callable[[Party], Any]] | None = None,
    **changes: Any,
) -> tuple[world.World, dict[str, Counted]]:
    counted = {p: Counted(asked if p == GUEST else (), (bounds or {}).get(p, 1000)) for p in ROLES}
    body = parameters(**changes)

    def live(party: Party) -> None:
        tables = HeldTables({"rows": TABLES[party.name]})
        task = Task("score", party, {PART: part(party.name)}, tables, KINDS)
        serve(task, body, counted[party.name])

    chosen = {party: (entries or {}).get(party, live) for party in ROLES}
    return world.run(ROLES, chosen), counted


def expected(ids: Sequence[str]) -> list[float]:
    total = np.zeros(len(ids))
    for party in PARTIES:
        positions = [int(id[1:]) - ROWS[party].start for id in ids]
        columns = [name for name, _ in part(party).weights]
        weights = np.array([weight for _, weight in part(party).weights])
        total = total + TABLES[party].matrix(columns)[positions] @ weights
    return list(1 / (1 + np.exp(-total)))


def test_rows_that_all_parties_have_are_scored_in_the_order_of_the_request() -> None:
    ids = ["p70", "p5", "p20", "p85", "p20", "nobody"]
    one, two = Asked({"ids": ids}), Asked({"ids": ["p33"]})
    made, counted = play([one, two])
    made.check()
    a, b = expected(["p70", "p20"])
    assert one.found["scores"] == pytest.approx([a, None, b, None, b, None], nan_ok=True)
    assert one.found["missing"] == ["p5", "p85", "nobody"]
    assert two.found == {"scores": pytest.approx(expected(["p33"])), "missing": []}
    # One batch; what the guest itself does not know is asked of nobody.
    assert all(counts.spent == [6] for counts in counted.values())


def test_what_is_sent_is_what_is_declared() -> None:
    made, _ = play([Asked({"ids": [f"p{at}" for at in range(15, 30)]})])
    made.check()
    terms = describe(Facts("score", ROLES, kinds=KINDS), parameters())
    # Of two hosts neither is to know which ids the other has: all are scored.
    sizes = {"asked": 15, "asked_bytes": 15 * 3, "rows": 15}
    sent = {
        (line["sender"], line["receiver"], line["message"], line["field"]): line["elements"]
        for channel in made.channels.values()
        for line in channel.disclosures.to_list()
    }
    declared = {
        (sender, receiver, entry.message, entry.field): evaluate(entry.size, sizes)
        for entry in terms.reveals
        for sender in ROLES
        for receiver in ROLES
        if ROLES[sender] == entry.sender and ROLES[receiver] == entry.receiver
    }
    assert sent == declared


def test_after_a_bound_of_one_host_each_request_is_asked_alone() -> None:
    first, large, small, again = (
        Asked({"ids": ids}) for ids in (["p20"], ["p20"] * BATCH_ROWS, ["p21"], ["p22"] * 5)
    )
    made, counted = play([first, large, small, again], {"shop": 3, "mill": 9999, GUEST: 9999})
    made.check()
    # The batch that was refused is not asked again: all others have counted it.
    refused = [("ATL-AGR-004", "shop")] * 2
    assert [(one.found.code, one.found.party) for one in (first, large)] == refused
    assert small.found["scores"] == pytest.approx(expected(["p21"]))
    assert again.found.code == "ATL-AGR-004"
    assert counted["shop"].spent == [1]
    assert counted[GUEST].spent == counted["mill"].spent == [1 + BATCH_ROWS, 1, 5]


def test_an_own_bound_refuses_each_request_for_itself() -> None:
    small, large, again = (Asked({"ids": ids}) for ids in (["p20"], ["p20"] * 5, ["p21"]))
    made, counted = play([small, large, again], {GUEST: 3})
    made.check()
    assert small.found["scores"] == pytest.approx(expected(["p20"]))
    assert (large.found.code, large.found.party) == ("ATL-AGR-004", None)
    assert again.found["scores"] == pytest.approx(expected(["p21"]))
    assert counted["shop"].spent == counted[GUEST].spent == [1, 1]


def test_what_no_smaller_request_can_mend_is_asked_once() -> None:
    def refuse(party: Party) -> None:
        answers = party.channel.receive(GUEST, "ask", Ask)
        party.channel.send(GUEST, "found", Found(answers.batch, "ATL-POL-001", b""))
        assert party.channel.receive(GUEST, "ask", Ask).ending

    asked = [Asked({"ids": [f"p{at}"]}) for at in (20, 21, 22)]
    made, counted = play(asked, entries={"shop": refuse})
    made.check()
    assert {(one.found.code, one.found.party) for one in asked} == {("ATL-POL-001", "shop")}
    assert counted[GUEST].spent == [3]


def test_a_bound_of_the_guest_asks_nobody() -> None:
    asked = Asked({"ids": ["p20", "p21"]})
    made, counted = play([asked], {GUEST: 1})
    made.check()
    assert asked.found.code == "ATL-AGR-004"
    assert not counted["shop"].spent


def test_a_malformed_request_fails_alone() -> None:
    bad, good = Asked({"ids": [1.5]}), Asked({"ids": ["p20"]})
    play([bad, good])[0].check()
    assert (bad.found.code, bad.found.place) == ("ATL-AGR-006", "ids, row 1")
    assert good.found["missing"] == []


def test_text_that_is_no_unicode_fails_its_request_alone() -> None:
    own = {"bank0": ["\ud800"], "bank1": [0.5]}
    ids, values = Asked({"ids": ["p20", "\ud800"]}), Asked({"ids": ["p20"], "columns": own})
    good = Asked({"ids": ["p20"]})
    play([ids, values, good])[0].check()
    assert (ids.found.code, ids.found.place) == ("ATL-AGR-006", "ids, row 2")
    assert (values.found.code, values.found.place) == ("ATL-AGR-006", "columns.bank0, row 1")
    assert good.found["missing"] == []


def test_the_columns_that_a_request_carries_are_those_of_the_model() -> None:
    own = {"bank0": [1.0, None], "bank1": [0.5, 2]}
    asked = Asked({"ids": ["p20", "p21"], "columns": own})
    foreign = Asked({"ids": ["p20"], "columns": {"bank0": [1.0], "bank1": [1.0], "x": [0.0]}})
    made, _ = play(
        [asked, foreign], tables={"mill": "rows", "shop": "rows"}, columns={GUEST: [*own]}
    )
    made.check()
    # A value that is missing makes no score here, and NaN is none.
    assert asked.found["scores"][1] is None
    assert asked.found["scores"][0] is not None
    assert (foreign.found.code, foreign.found.place) == ("ATL-AGR-006", "columns.x")


def _lying(message: Callable[[Ask], Any], party: Party) -> None:
    body = party.channel.receive(GUEST, "ask", Ask)
    party.channel.send(GUEST, "found", message(body))
    party.channel.receive(GUEST, "ask", Score)


@pytest.mark.parametrize(
    "message",
    [
        lambda body: Found(body.batch + 1, "", b"\x01"),
        lambda body: Found(body.batch, "", b"\x01\x00"),
        lambda body: Found(body.batch, "", b"\x03"),
        lambda body: Found(body.batch, "ATL-INT-001", b""),
    ],
    ids=["another batch", "too long", "padding", "unknown code"],
)
def test_a_host_that_breaks_the_order_ends_the_session(message: Callable[[Ask], Any]) -> None:
    asked = Asked({"ids": ["p20"]})
    made, _ = play([asked], entries={"shop": lambda party: _lying(message, party)})
    error = made.errors[GUEST]
    assert isinstance(error, AtollError)
    assert (error.code, error.party) == ("ATL-CMP-080", "shop")
    assert asked.found is None


@pytest.mark.parametrize(
    "question",
    [
        Ask(1, False, np.array([3], "u2"), b"ab"),
        Ask(1, False, np.array([0, 2], "u2"), b"ab"),
        Ask(1, False, np.array([], "u2"), b""),
        Ask(0, False, np.array([2], "u2"), b"ab"),
        Ask(1, False, np.array([300], "u2"), bytes(300)),
    ],
    ids=["sizes", "empty id", "no id", "old batch", "long id"],
)
def test_a_guest_that_breaks_the_order_spends_nothing(question: Ask) -> None:
    def lie(party: Party) -> None:
        for host in HOSTS:
            party.channel.send(host, "ask", question)
        party.channel.receive(HOSTS[0], "found", Found)

    made, counted = play([], entries={GUEST: lie})
    for host in HOSTS:
        error = made.errors[host]
        assert isinstance(error, AtollError)
        assert error.code in ("ATL-CMP-080", "ATL-NET-003", "ATL-NET-004")
        assert not counted[host].spent
    assert any(getattr(made.errors[host], "code", "") == "ATL-CMP-080" for host in HOSTS)


def test_the_plan_has_the_terms_and_pins_nothing_of_ours() -> None:
    terms = describe(Facts("score", ROLES, kinds=KINDS), parameters())
    assert terms.standing is not None
    assert (terms.standing.asks, terms.standing.most, terms.standing.model) == ("guest", 100, "m")
    assert "100 rows a day and 100 in all, until 2999-12-31" in terms.warnings[0]
    assert [(e.unit, e.amount) for e in terms.exposure] == [("rows", 100)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tables": {"mill": "rows"}}, "ATL-JOB-006"),
        ({"tables": {"mill": "r", "shop": "r", "mil": "r"}}, "ATL-JOB-006"),
        ({"columns": {"somebody": ["x"]}}, "ATL-JOB-006"),
        ({"kind": "other.model"}, "ATL-MOD-005"),
    ],
)
def test_what_cannot_run_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(UserError, match=code):
        describe(Facts("score", ROLES, kinds=KINDS), parameters(**changes))


@pytest.mark.parametrize(
    "changes",
    [{"until": "2024-02-30"}, {"until": "soon"}, {"columns": {"mill": []}}, {"most": 0}],
)
def test_parameters_have_bounds(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        parameters(**changes)


def test_its_job_checks_and_tells_nothing() -> None:
    def live(party: Party) -> None:
        tables = HeldTables({"rows": TABLES[party.name]})
        result = SCORING.run(
            Task("score", party, {PART: part(party.name)}, tables, KINDS), parameters()
        )
        assert not result.outputs

    made = world.run(ROLES, live).check()
    assert not any(channel.disclosures.to_list() for channel in made.channels.values())


def test_columns_go_by_name_and_a_missing_one_is_named() -> None:
    asked = Asked({"ids": ["p20"]})
    few = {party: [f"{party}1"] for party in ROLES}
    made, _ = play([asked], columns={"shop": few["shop"]})
    error = made.errors["shop"]
    assert isinstance(error, UserError)
    assert error.code == "ATL-MOD-003"
    turned = {party: [f"{party}1", f"{party}0"] for party in ROLES}
    play([asked], columns=turned)[0].check()
    assert asked.found["scores"] == pytest.approx(expected(["p20"]))


def test_a_model_of_transformed_rows_is_refused_by_who_holds_it() -> None:
    known = Registered("boosting.model", None, ("scale",))
    own = OwnFacts("scores", "shop", ROLES, {}, {}, lambda _: known)
    with pytest.raises(UserError, match=r"ATL-REG-009.*went through scale"):
        check(own, parameters())
