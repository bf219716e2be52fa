"""Lies in jobs and sessions that score rows: what the ledger charges, and what a cap stops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.components.api import Facts, OwnFacts, Result, Task
from atoll.components.catalogue import CATALOGUE
from atoll.components.prediction import PREDICTION
from atoll.components.psi import PSI
from atoll.components.references import PART, Registered
from atoll.components.scoring import ScoringParameters, check, describe, serve
from atoll.components.scoring_messages import Ask, Found, Score
from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.flow import planning
from atoll.flow.policy.counts import Counts
from atoll.jobs.definition import parse_job
from atoll.jobs.plan import Plan
from atoll.models.boosting import GuestPart, HostPart, Split, Tree, path_score
from atoll.models.boosting.messages import (
    PathQuestion,
    PathSides,
    PathStart,
    ScoreBits,
    ScoreStart,
)
from atoll.models.boosting.paths import GuestPaths
from atoll.models.boosting.scoring import goes_left, pack_rows, read_rows
from atoll.table import Table
from tests import whole
from tests.components.test_scoring import Asked, Counted
from tests.dishonest.ledger import charge, refused_below
from tests.dishonest.lying import lying
from tests.dishonest.scorers import ROLES, ROWS, models, rows, started
from tests.held import HeldTables
from tests.models.grown import COLUMNS, MODEL, features, parties
from tests.protocols.conftest import Conformance

CONFORMANCE = Conformance()


def job(implementation: str = "", hosts: tuple[str, ...] = ("shop",)) -> Any:
    """Return a job that trains on some rows and scores others."""
    names = ("bank", *hosts)
    steps: dict[str, Any] = {}
    for at, name in (("people", "first"), ("fresh", "second")):
        known = {"tables": dict.fromkeys(names, at), "label": "y"}
        steps[at] = {"component": "reader", "parameters": known}
        steps[name] = {
            "component": "psi",
            "inputs": {"table": f"{at}.table"},
            "parameters": {"protocol": "ideal" if len(hosts) == 1 else "ecdh"},
        }
    steps["boost"] = {
        "component": "boosting",
        "inputs": {"train": "first.table"},
        "parameters": {"trees": 3, "minimum_rows": 0, "implementation": "ideal"},
    }
    steps["score"] = {
        "component": "prediction",
        "inputs": {"model": "boost.model", "table": "second.table"},
        "parameters": {"implementation": implementation} if implementation else {},
    }
    roles = {name: "guest" if name == "bank" else "host" for name in names}
    return parse_job({"name": "scoring", "parties": roles, "seed": 7, "steps": steps})


COMMON = 120


def tables(hosts: tuple[str, ...] = ("shop",), declared: int = COMMON) -> dict[str, HeldTables]:
    """Return two tables of each party; of the fresh rows the guest declares only some."""
    found = {}
    for at, name in enumerate(("bank", *hosts)):
        rng = np.random.default_rng(at)
        held = {}
        for table, count in (("people", 80), ("fresh", declared if name == "bank" else COMMON)):
            values = rng.normal(size=(COMMON, 3))[:count]
            columns = {f"{name}{c}": pa.array(values[:, c]) for c in range(3)}
            if name == "bank":
                columns["y"] = pa.array((values[:, 0] + rng.normal(size=count) > 0).astype(float))
            ids = pa.array([f"{table}{row:03d}" for row in range(count)])
            held[table] = Table.from_columns(ids, columns, label="y" if name == "bank" else None)
        found[name] = HeldTables(held)
    return found


@pytest.mark.parametrize(
    ("implementation", "ways"),
    [
        ("", {("shop", "bank"): COMMON, ("bank", "shop"): 0}),
        ("path", {("shop", "bank"): COMMON, ("bank", "shop"): COMMON}),
    ],
)
def test_one_prediction_over_all_common_rows_is_as_many_rows(
    implementation: str, ways: Mapping[tuple[str, str], int]
) -> None:
    """Lie: all rows in one prediction, which is one run. Rule: it counts as so many rows, each way
    that it shows something, and a cap below refuses the plan (ATL-POL-005).
    """
    made = whole.play(job(implementation), tables(), CATALOGUE).check()
    plan = made.results["bank"].plan
    for (party, partner), count in ways.items():
        lines = [line for line in made.sent[party] if line["step"] == "score"]
        # Both tables of a party lead to the scores: that of the training as well.
        assert charge(plan, party, partner, lines).rows == 2 * count
    refused_below(plan, "shop", "bank", "rows", COMMON)
    if implementation:
        refused_below(plan, "bank", "shop", "rows", COMMON)


def breaks_off(task: Task, parameters: Any) -> Result:
    """Take all comparison bits and leave, so that the step fails and may be tried again."""
    party, part = task.party, task.inputs["model"]
    splits = part.host_splits[0]
    party.channel.send("shop", "score", ScoreStart(part.model, COMMON, splits))
    party.channel.receive("shop", "score", ScoreBits)
    raise OSError("the disk is full")


def leaves_after_a_level(task: Task, parameters: Any) -> Result:
    party, part = task.party, task.inputs["model"]
    paths = GuestPaths(part)
    size, trees = paths.begin(COMMON), len(part.trees)
    party.channel.send("shop", "score", PathStart(part.model, COMMON, part.host_splits[0], trees))
    level = next(at for at in range(paths.depth) if paths.sizes(1, at)[1])
    entries = pack_rows(paths.question(1, level, size))
    party.channel.send("shop", "score", PathQuestion(0, level, COMMON, entries))
    party.channel.receive("shop", "score", PathSides)
    raise OSError("the disk is full")


@pytest.mark.parametrize(
    ("implementation", "lie"), [("", breaks_off), ("path", leaves_after_a_level)]
)
def test_a_guest_that_breaks_off_with_the_answers_is_charged(implementation: str, lie: Any) -> None:
    """Lie: the guest keeps the sides and fails, to have the attempt for nothing. Gain: the sides
    of all rows; the ledger charges each row of the failed attempt.
    """
    liars = {"bank": lying({PREDICTION.name: lie}, CATALOGUE)}
    made = whole.play(job(implementation), tables(), CATALOGUE, liars=liars)
    assert made.errors
    plan = whole.Planned(job(implementation), tables(), CATALOGUE).plan
    assert plan is not None
    lines = [line for line in made.sent["shop"] if line["step"] == "score"]
    assert charge(plan, "shop", "bank", lines) == Counts(rows=2 * COMMON)


@pytest.mark.parametrize("implementation", ["", "path"])
def test_a_guest_that_declares_a_smaller_table_does_not_have_more_scored(
    implementation: str,
) -> None:
    """Lie: the guest declares 40 rows and intersects 120. Before, all 120 were scored, and 40
    charged. Rule: the host sends of no more rows than the plan states (ATL-REV-002).
    """
    large = tables()["bank"]

    def more(task: Task, parameters: Any) -> Result:
        if task.step != "second":
            return PSI.run(task, parameters)
        full = large.open("fresh", id_column="id", label="y")
        party = replace(task.party, rows={})
        return PSI.run(Task(task.step, party, {"table": full}, task.tables), parameters)

    def unbound(task: Task, parameters: Any) -> Result:
        task.party.channel.disclosures._most.clear()
        return PREDICTION.run(task, parameters)

    liars = {"bank": lying({PSI.name: more, PREDICTION.name: unbound}, CATALOGUE)}
    made = whole.play(job(implementation), tables(declared=40), CATALOGUE, liars=liars)
    assert getattr(made.errors["shop"], "code", "") == "ATL-REV-002", made.errors
    sides = {ScoreBits.kind, PathSides.kind}
    assert not [line for line in made.sent["shop"] if line["message"] in sides]


# -- sessions of a standing agreement --------------------------------------------------

MOST = 60


def agreement(implementation: str, hosts: tuple[str, ...] = ("shop",)) -> ScoringParameters:
    whole_of = {
        "model": "m",
        "kind": "boosting.model",
        "tables": dict.fromkeys(("bank", *hosts), "rows"),
        "per_day": MOST,
        "most": MOST,
        "until": "2999-12-31",
        "implementation": implementation,
    }
    return ScoringParameters.model_validate(whole_of)


def session(
    implementation: str, entry: Callable[[Party], Any] | None = None, asked: Any = ()
) -> tuple[world.World, dict[str, Counted]]:
    """Let a session run whose host has the rows p0 to p39; the guest is honest, or ``entry``."""
    model, held = models(), rows()
    parts = parties(model[0], {"shop": model[1]})
    counted = {party: Counted(asked if party == "bank" else (), MOST) for party in ROLES}

    def live(party: Party) -> None:
        values = {f"c{at}": held[party.name][:, at] for at in range(COLUMNS)}
        table = Table.from_columns([f"p{at}" for at in range(ROWS)], values)
        given = {PART: parts[party.name]}
        task = Task("scores", party, given, HeldTables({"rows": table}))
        serve(task, agreement(implementation), counted[party.name])

    entries = {"bank": entry or live, "shop": live}
    return world.run(ROLES, entries), counted


def test_a_session_scores_along_paths_as_well() -> None:
    found = {}
    for implementation in ("", "bits", "path"):
        asked = [Asked({"ids": ["p3", "p39", "nobody"]}), Asked({"ids": ["p7"]})]
        made, counted = session(implementation, asked=asked)
        made.check()
        assert counted["shop"].spent == [3]
        found[implementation] = [one.found for one in asked]
    assert found[""] == found["bits"] == found["path"]


def wanted(ids: list[str], batch: int = 1) -> Ask:
    return Ask(batch, False, np.array([len(one) for one in ids], "u2"), "".join(ids).encode())


@pytest.mark.parametrize("implementation", ["bits", "path"])
def test_a_guest_that_makes_ids_up_pays_a_row_for_each(implementation: str) -> None:
    """Lie: the guest asks for ids that it only suspects. Gain: which of them the host has, a bit
    each; the host counts a row for each before it answers, so at most as many as were agreed to.
    """
    gained: list[int] = []
    refused: list[str] = []

    def lie(party: Party) -> None:
        party.channel.send("shop", "ask", wanted([f"p{at}" for at in range(0, 100, 2)]))
        found = party.channel.receive("shop", "found", Found)
        gained.append(int(np.unpackbits(np.frombuffer(found.found, "u1")).sum()))
        party.channel.send("shop", "ask", Score(1, bytes(7)))
        party.channel.send("shop", "ask", wanted([f"p{at}" for at in range(1, 100, 2)], 2))
        refused.append(party.channel.receive("shop", "found", Found).code)
        party.channel.send("shop", "ask", Ask(3, True, np.array([], "u2"), b""))

    made, counted = session(implementation, lie)
    made.check()
    assert gained == [20]
    assert counted["shop"].spent == [50]
    assert sum(counted["shop"].spent) >= gained[0]
    assert refused == ["ATL-AGR-004"]


def test_a_guest_that_asks_of_rows_that_it_did_not_name_is_refused() -> None:
    """Lie: one id is paid for, and the path of many rows asked. Rule: ATL-MOD-003, nothing of them
    leaves.
    """

    def lie(party: Party) -> None:
        party.channel.send("shop", "ask", wanted(["p3"]))
        party.channel.receive("shop", "found", Found)
        party.channel.send("shop", "ask", Score(1, b"\x01"))
        started(party, models()[0])
        party.channel.receive("shop", "score", PathSides)

    made, counted = session("path", lie)
    CONFORMANCE.check_refused(made, "ATL-MOD-003", by="shop")
    assert counted["shop"].spent == [1]
    assert not made.channels["shop"].disclosures.counts["shop", "bank", PathSides.kind, "bits"]


@pytest.mark.parametrize("implementation", ["bits", "path"])
def test_a_guest_that_has_rows_scored_that_are_not_there_is_refused(implementation: str) -> None:
    """Lie: the only host is asked for an id that it has not, and to score it. ATL-CMP-080."""

    def lie(party: Party) -> None:
        party.channel.send("shop", "ask", wanted(["nobody"]))
        assert party.channel.receive("shop", "found", Found).found == b"\x00"
        party.channel.send("shop", "ask", Score(1, b"\x01"))
        party.channel.receive("shop", "found", Found)

    made, _ = session(implementation, lie)
    CONFORMANCE.check_refused(made, "ATL-CMP-080", by="shop")


def test_a_model_without_places_agrees_to_no_paths() -> None:
    """An agreement by ``path`` over a part that cannot hold a guest to a path is not agreed to."""
    host = models()[1]
    bare = tuple(one.model_copy(update={"tree": None, "node": None}) for one in host.splits)
    known = Registered("boosting.model", host.model_copy(update={"splits": bare}), ())
    own = OwnFacts("scores", "shop", ROLES, {}, {}, lambda _: known)
    with pytest.raises(UserError, match="ATL-MOD-006"):
        check(own, agreement("path"))
    with pytest.raises(UserError, match="ATL-MOD-006"):
        describe(Facts("scores", ROLES), agreement("shares"))


# -- several hosts ------------------------------------------------------------------------------


def crossed() -> tuple[GuestPart, dict[str, HostPart]]:
    """Return one tree: a split of shop's, and splits of mill's on both of its sides."""
    names = ("mill", "shop")
    tree = Tree(
        owner=(2, 1, 1, -1, -1, -1, -1),
        split=(0, 0, 1, 0, 0, 0, 0),
        left=(1, 3, 5, 0, 0, 0, 0),
        right=(2, 4, 6, 0, 0, 0, 0),
        weight=(0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0),
        gain=(0.0,) * 7,
        rows=(1,) * 7,
    )
    splits = {
        "shop": (Split(column=0, threshold=0.1, tree=0, node=0),),
        "mill": tuple(Split(column=1, threshold=0.2, tree=0, node=node) for node in (1, 2)),
    }
    columns = tuple(f"c{at}" for at in range(COLUMNS))
    hosts = {
        name: HostPart(model=MODEL, party=name, guest="bank", columns=columns, splits=splits[name])
        for name in names
    }
    guest = GuestPart(
        model=MODEL,
        party="bank",
        hosts=names,
        columns=columns,
        base_margin=0.0,
        splits=(),
        host_splits=(2, 1),
        trees=(tree,),
    )
    return guest, hosts


def test_a_host_learns_of_another_host_from_the_questions() -> None:
    """Lie: none is needed; the host keeps what it is asked. Gain: the side of each row at another
    host's split, where a split of its own follows on both sides.
    """
    guest, hosts = crossed()
    parts = parties(guest, hosts)
    held = features(np.random.default_rng(0), ("bank", *hosts), ROWS)
    seen: list[PathQuestion] = []

    def entry(party: Party) -> Any:
        if party.name == "mill":
            receive = party.channel.receive

            def keeps(sender: str, tag: str, kind: Any, **more: Any) -> Any:
                found = receive(sender, tag, kind, **more)
                seen.extend([found] if kind is PathQuestion else [])
                return found

            party.channel.receive = keeps  # type: ignore[method-assign]
        return path_score(party, parts[party.name], held[party.name], guest.columns)

    roles = {name: Role.GUEST if name == "bank" else Role.HOST for name in parts}
    world.run(roles, entry).check()
    planes = read_rows(seen[0].entries, 2, ROWS)
    assert planes is not None
    # The first split of mill's is asked of the rows that go left at shop's.
    np.testing.assert_array_equal(planes[0], goes_left(hosts["shop"].splits, held["shop"])[0])


def test_what_a_host_learns_of_another_is_charged_to_it() -> None:
    """Rule for the host above: it is a partner of the other host's table, each row is charged to
    it there, and a cap below refuses the plan (ATL-POL-005). By ``bits`` it learns nothing.
    """
    hosts = ("mill", "shop")
    found = {}
    for implementation in ("bits", "path"):
        made = whole.play(job(implementation, hosts), tables(hosts), CATALOGUE).check()
        plan = made.results["bank"].plan
        lines = [line for line in made.sent["shop"] if line["step"] == "score"]
        found[implementation] = charge(plan, "shop", "mill", lines).rows if lines else 0
    assert found == {"bits": 0, "path": 2 * COMMON}
    refused_below(plan, "shop", "mill", "rows", COMMON)


def asked_of_two(implementation: str) -> tuple[bytes, Asked, dict[str, Counted], world.World]:
    """Let a session run in which shop has p0 to p9 alone, and mill made rows up for all ids.

    Returns what mill, which keeps what it is sent, is sent of the rows to score.
    """
    guest, hosts = crossed()
    parts = parties(guest, hosts)
    held = features(np.random.default_rng(0), ("bank", *hosts), ROWS)
    asked = Asked({"ids": [f"p{at}" for at in range(20)]})
    counted = {name: Counted([asked] if name == "bank" else (), MOST) for name in parts}
    seen: list[bytes] = []

    def live(party: Party) -> None:
        if party.name == "mill":
            receive = party.channel.receive

            def keeps(sender: str, tag: str, kind: Any, **more: Any) -> Any:
                found = receive(sender, tag, kind, **more)
                seen.extend([found.rows] if kind is Score else [])
                return found

            party.channel.receive = keeps  # type: ignore[method-assign]
        count = 10 if party.name == "shop" else ROWS
        values = {f"c{at}": held[party.name][:count, at] for at in range(COLUMNS)}
        table = Table.from_columns([f"p{at}" for at in range(count)], values)
        task = Task("scores", party, {PART: parts[party.name]}, HeldTables({"rows": table}))
        serve(task, agreement(implementation, tuple(hosts)), counted[party.name])

    roles = {name: Role.GUEST if name == "bank" else Role.HOST for name in parts}
    made = world.run(roles, live)
    made.check()
    return seen[0], asked, counted, made


def signed(implementation: str) -> Plan:
    """Return the plan of the agreement of the three."""
    hosts = ("mill", "shop")
    chosen = agreement(implementation, hosts).model_dump(mode="json")
    steps = {"scores": {"component": "scoring", "parameters": chosen}}
    roles = {"bank": "guest", **dict.fromkeys(hosts, "host")}
    agreed = parse_job({"name": "scores", "parties": roles, "steps": steps})
    held = HeldTables({"rows": Table.from_columns(["a"], {"c0": np.ones(1)})})
    declared = {}
    for party in roles:
        found = planning.declare(agreed, CATALOGUE, party, held)
        declared[party] = {step: one.facts for step, one in found.items()}
    return planning.build(agreed, CATALOGUE, declared, dict.fromkeys(roles, "k"))


def test_a_host_that_claims_every_id_learns_by_paths_which_of_them_others_have() -> None:
    """Lie: a table of made-up rows for all ids. Gain: which ids the other host has, a bit each,
    for a row of the bounds each, which the other host counts, too.
    """
    seen, asked, counted, _ = asked_of_two("path")
    assert counted["shop"].spent == [20]
    refused_below(signed("path"), "shop", "mill", "rows", MOST)
    flags = np.unpackbits(np.frombuffer(seen, "u1"), bitorder="little")
    assert flags[:20].tolist() == [1] * 10 + [0] * 10
    assert asked.found["missing"] == [f"p{at}" for at in range(10, 20)]


def test_by_bits_a_host_that_claims_every_id_learns_nothing_of_others() -> None:
    """The same lie. Rule: where the way of scoring sends hosts nothing, all that is asked is
    scored, and the guest leaves out what a host has not; the host counts it all the same.
    """
    seen, asked, counted, made = asked_of_two("bits")
    flags = np.unpackbits(np.frombuffer(seen, "u1"), bitorder="little")
    assert flags[:20].tolist() == [1] * 20
    by_path = asked_of_two("path")[1]
    assert asked.found == by_path.found
    assert [counts.spent for counts in counted.values()] == [[20]] * 3
    # Of a row that the shop has not it sends what it would of one without any value.
    lines = made.channels["shop"].disclosures.counts
    assert lines["shop", "bank", ScoreBits.kind, "rows"] == 20


def test_a_host_that_refuses_shared_batches_has_no_request_counted_twice() -> None:
    """Lie: a bound's code for each batch of several requests, and then an answer to each alone.
    Gain before: guest and other hosts were charged twice. Rule: what a host refused fails with its
    code, and is not asked again; each request is counted once.
    """
    guest, hosts = crossed()
    parts = parties(guest, hosts)
    held = features(np.random.default_rng(0), ("bank", *hosts), ROWS)
    asked = [Asked({"ids": [f"p{5 * at + one}" for one in range(5)]}) for at in range(4)]
    counted = {name: Counted(asked if name == "bank" else (), MOST) for name in parts}
    # Its word alone: nothing is used up there.
    counted["mill"].left = 5

    def live(party: Party) -> None:
        values = {f"c{at}": held[party.name][:, at] for at in range(COLUMNS)}
        table = Table.from_columns([f"p{at}" for at in range(ROWS)], values)
        task = Task("scores", party, {PART: parts[party.name]}, HeldTables({"rows": table}))
        serve(task, agreement("bits", tuple(hosts)), counted[party.name])

    roles = {name: Role.GUEST if name == "bank" else Role.HOST for name in parts}
    world.run(roles, live).check()
    assert [getattr(one.found, "code", "") for one in asked] == ["ATL-AGR-004"] * 4
    assert sum(counted["shop"].spent) == sum(counted["bank"].spent) == 20
