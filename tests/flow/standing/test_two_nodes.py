"""From a model to single scores under a standing agreement, between two real nodes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atoll.channel.grpc.failures import CallRefusedError
from atoll.core.errors import AtollError, UserError
from atoll.flow.access.service import local_actor
from atoll.flow.node.standing.inviting import KIND, OPEN, SessionMessage
from tests.e2e.nodes import table, until
from tests.flow.standing.site import BANK, SHOP, Site, columns_of, predicted, site, today


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("standing")) as made:
        yield made


@pytest.fixture(scope="module")
def scores(two: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return predicted(two, tmp_path_factory.mktemp("scores"))


def test_single_rows_have_the_scores_of_the_prediction_job(
    two: Site, scores: dict[str, float]
) -> None:
    id = two.agree("same")
    some = list(scores)[:1]
    assert two.ask(id, some) == {"scores": [scores[some[0]]], "missing": []}
    many = list(reversed(scores))[:300]
    assert two.ask(id, many)["scores"] == [scores[one] for one in many]
    # The guest's own columns in the request, and ids that nobody has.
    asked = [*many[:3], "nobody"]
    own = columns_of(many[:3])
    own = {name: [*values, None] for name, values in own.items()}  # type: ignore[list-item]
    answer = two.ask(id, asked, columns=own)
    assert answer == {"scores": [*(scores[o] for o in many[:3]), None], "missing": ["nobody"]}
    assert two.ask(id, ["nobody"]) == {"scores": [None], "missing": ["nobody"]}
    # One that the guest itself does not know is not asked for: nothing is counted.
    assert two.used(SHOP, id) == two.used(BANK, id) == 1 + 300 + 4
    for node in two.nodes.values():
        assert [key for key in node.sessions._all if key[0] == id] == [(id, 1000)]


def test_many_requests_share_a_session(two: Site, scores: dict[str, float]) -> None:
    id = two.agree("many")
    some = list(scores)[:80]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda one: two.ask(id, [one]), some))
    assert [answer["scores"] for answer in answers] == [[scores[one]] for one in some]
    assert two.used(SHOP, id) == 80
    assert two.nodes[SHOP].book.open_session(id) == 1001


def test_what_is_malformed_is_refused_with_its_place(two: Site) -> None:
    id = two.agree("malformed")
    good = columns_of(["u00001"])
    bodies: list[tuple[dict[str, Any], str]] = [
        ({}, "ids"),
        ({"ids": []}, "ids"),
        ({"ids": ["a", 1.5]}, "ids, row 2"),
        ({"ids": ["a"], "label": 1}, "label"),
        ({"ids": ["a"], "columns": {"x0": [1.0]}}, "columns"),
        ({"ids": ["a"], "columns": {**good, "x0": ["1"]}}, "columns.x0, row 1"),
        ({"ids": ["a"], "columns": {**good, "x0": [True]}}, "columns.x0, row 1"),
        ({"ids": ["a"], "columns": {**good, "x0": [1.0, 2.0]}}, "columns.x0"),
    ]
    for body, place in bodies:
        with pytest.raises(UserError) as caught:
            two.nodes[BANK].sessions.ask(id, body, 60.0)
        assert (caught.value.code, caught.value.place) == ("ATL-AGR-006", place)
    assert two.used(SHOP, id) == 0
    assert two.ask(id, ["u00001"])["missing"] == []


def test_bounds_bind_at_the_host_whatever_the_guest_counts(
    two: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = two.agree("bounds", per_day=5, most=5)
    day = two.agree("bounds-day", per_day=2, most=50)
    with pytest.raises(AtollError, match="ATL-AGR-005"):
        two.ask(id, ["u00001"] * 6)
    # A guest that counts nothing.
    monkeypatch.setattr(two.nodes[BANK].book, "spend", lambda *reported: None)
    two.ask(id, ["u00001"] * 5)
    with pytest.raises(AtollError) as caught:
        two.ask(id, ["u00001"])
    assert (caught.value.code, caught.value.party) == ("ATL-AGR-005", SHOP)
    two.ask(day, ["u00001"] * 2)
    with pytest.raises(AtollError) as caught:
        two.ask(day, ["u00001"])
    assert (caught.value.code, caught.value.party) == ("ATL-AGR-004", SHOP)
    assert (two.used(SHOP, id), two.used(BANK, id)) == (5, 0)


def test_only_the_named_party_asks(two: Site) -> None:
    id = two.agree("named")
    with pytest.raises(AtollError, match="ATL-AGR-008"):
        two.nodes[SHOP].sessions.ask(id, {"ids": ["u00001"]}, 10.0)
    with pytest.raises(AtollError, match="ATL-AGR-001"):
        two.nodes[BANK].sessions.ask("20260102030405-0123abcd.score", {"ids": ["a"]}, 10.0)


def test_a_past_day_is_refused(two: Site) -> None:
    id = two.agree("past", until=today(-1))
    with pytest.raises(AtollError, match="ATL-AGR-003"):
        two.ask(id, ["u00001"])


@pytest.mark.parametrize("party", [BANK, SHOP])
def test_an_end_at_either_side_stops_the_next_request(two: Site, party: str) -> None:
    id = two.agree(f"end-{party}")
    two.ask(id, ["u00001"])
    node = two.nodes[party]
    node.book.end(node.access.authenticate(node.access.local_token), id, "over")
    # A request that meets the end of the session at the other side loses its answer.
    with pytest.raises(AtollError, match="ATL-AGR-002" if party == BANK else "ATL-AGR-00[29]"):
        two.ask(id, ["u00001"])
    until(lambda: not any((id, 1000) in n.sessions._all for n in two.nodes.values()))
    with pytest.raises(AtollError, match="ATL-AGR-002"):
        two.ask(id, ["u00001"])
    assert two.used(SHOP, id) == 1


@pytest.mark.parametrize("party", [BANK, SHOP])
def test_after_a_worker_is_killed_the_next_request_opens_a_session(
    two: Site, scores: dict[str, float], party: str
) -> None:
    id = two.agree(f"kill-{party}")
    one = next(iter(scores))
    two.ask(id, [one])
    session = two.nodes[party].sessions._all[id, 1000]
    pid = session.seat.worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: not any((id, 1000) in n.sessions._all for n in two.nodes.values()))
    assert two.ask(id, [one])["scores"] == [scores[one]]
    assert two.used(SHOP, id) == 2


def closed(two: Site, party: str, job: str) -> bool:
    return any(line["kind"] == "session" and line.get("run") == job for line in two.ledger(party))


def test_what_was_sent_is_in_the_ledger_as_it_was_declared(two: Site, tmp_path: Path) -> None:
    id = two.agree("declared")
    two.ask(id, [f"u{at:05d}" for at in range(10)])
    two.ask(id, ["u00001", "nobody"], columns=columns_of(["u00001", "u00001"]))
    for node in two.nodes.values():
        for session in list(node.sessions._asking.values()):
            session.close()
    job = id.partition(".")[0]
    for party in two.nodes:
        until(partial(closed, two, party, job))
    plan = two.nodes[SHOP].book.get(id).plan
    reported = {(line["sender"], line["message"], line["field"]) for line in plan.reveals["score"]}
    lines = {
        party: [
            line
            for line in two.ledger(party)
            if line["kind"] == "reveal" and line.get("run") == job and line["step"] == "score"
        ]
        for party in two.nodes
    }
    sent = {
        (("guest" if p == BANK else "host"), line["message"], line["field"]): line["elements"]
        for p, found in lines.items()
        for line in found
    }
    assert sent.keys() == reported
    splits = 2 + 1  # whole bytes of 10 and of 2 rows
    assert sent["guest", "scoring.ask", "sizes"] == 12
    assert sent["guest", "scoring.ask", "ids"] == 11 * 6 + 6
    assert sent["host", "scoring.found", "found"] == sent["guest", "scoring.score", "rows"] == 3
    assert sent["host", "boosting.score_bits", "bits"] % splits == 0


def test_a_cap_of_the_grant_binds_and_a_revoked_grant_too(two: Site) -> None:
    shop = two.clients[SHOP]
    terms: dict[str, Any] = {"columns": ["*"], "roles": ["host"], "components": ["scoring"]}
    # The same rows under another name have the same account, so it begins at what was used.
    (two.folder / "few.csv").write_bytes(table(1, 50, 4, label=False, first=10))
    shop.data.upload("few", two.folder / "few.csv", id="id", label=None)
    grant = shop.data.grant("few", partners=[BANK], automatic=True, limits={"rows": 3}, **terms)
    tables = {BANK: "fresh", SHOP: "few"}
    id = two.agree("caps", tables=tables, per_day=3, most=3)
    other = two.agree("caps-two", tables=tables, per_day=3, most=3)
    two.ask(id, ["u00001", "u00002"])
    with pytest.raises(AtollError, match="ATL-POL-005"):
        two.ask(other, ["u00001", "u00002"])
    assert two.used(SHOP, other) == 0
    shop.data.revoke(grant.id)
    with pytest.raises(AtollError, match="ATL-POL-001"):
        two.ask(id, ["u00001"])
    spent = [line for line in two.ledger(SHOP) if line["kind"] == "spend"]
    assert {(line["table"], line["partner"]) for line in spent if line["table"] == "few"} == {
        ("few", BANK)
    }


def test_new_rows_under_the_same_name_are_known_to_the_next_session(two: Site) -> None:
    shop = two.clients[SHOP]
    grown = two.folder / "grown.csv"
    grown.write_bytes(table(1, 10, 4, label=False, first=10))
    shop.data.upload("grown", grown, id="id", label=None)
    terms: dict[str, Any] = {"columns": ["*"], "roles": ["host"], "components": ["scoring"]}
    shop.data.grant("grown", partners=[BANK], automatic=True, **terms)
    id = two.agree("grown", tables={BANK: "fresh", SHOP: "grown"})
    assert two.ask(id, ["u00001", "u00020"])["missing"] == ["u00020"]
    grown.write_bytes(table(1, 30, 4, label=False, first=10))
    shop.data.upload("grown", grown, id="id", label=None)
    two.nodes[BANK].sessions._asking[id].close()
    two.idle(id)
    assert two.ask(id, ["u00001", "u00020"])["missing"] == []


def test_an_open_session_does_not_go_on_with_rows_that_were_replaced(two: Site) -> None:
    shop, file = two.clients[SHOP], two.folder / "replaced.csv"
    file.write_bytes(table(1, 30, 4, label=False, first=10))
    shop.data.upload("replaced", file, id="id", label=None)
    terms: dict[str, Any] = {"columns": ["*"], "roles": ["host"], "components": ["scoring"]}
    shop.data.grant("replaced", partners=[BANK], automatic=True, **terms)
    id = two.agree("replaced", tables={BANK: "fresh", SHOP: "replaced"})
    assert two.ask(id, ["u00020"])["missing"] == []
    file.write_bytes(table(1, 10, 4, label=False, first=10))
    shop.data.upload("replaced", file, id="id", label=None)
    until(lambda: not any((id, 1000) in node.sessions._all for node in two.nodes.values()))
    assert two.ask(id, ["u00020"])["missing"] == ["u00020"]


@pytest.mark.parametrize("party", [BANK, SHOP])
def test_an_open_session_does_not_go_on_with_an_archived_model(two: Site, party: str) -> None:
    id, models = two.agree(f"archived-{party}"), two.clients[party].models
    two.ask(id, ["u00001"])
    models.stage(two.model, 1, "archived")
    try:
        until(lambda: not any((id, 1000) in node.sessions._all for node in two.nodes.values()))
        with pytest.raises(AtollError, match=r"ATL-REG-002|ATL-AGR-007"):
            two.ask(id, ["u00001"])
    finally:
        models.stage(two.model, 1, "candidate")
    assert two.ask(id, ["u00001"])["missing"] == []


def test_a_node_that_is_started_again_serves_again(two: Site, scores: dict[str, float]) -> None:
    id = two.agree("restart")
    one = next(iter(scores))
    two.ask(id, [one])
    for party in (SHOP, BANK):
        two.stop(party)
        two.start(party)
        until(lambda: not any((id, 1000) in n.sessions._all for n in two.nodes.values()))
        assert two.ask(id, [one])["scores"] == [scores[one]]
    assert two.used(SHOP, id) == two.used(BANK, id) == 3


def test_nodes_that_number_sessions_apart_find_a_number_that_is_free_at_both(two: Site) -> None:
    id = two.agree("numbers")
    book = two.nodes[SHOP].book
    for _ in range(3):
        book.close_session(id, book.open_session(id), (), ())
    two.ask(id, ["u00001"])
    assert {key for key in two.nodes[SHOP].sessions._all if key[0] == id} == {(id, 1004)}


def test_an_idle_session_gives_way_where_too_many_are_open(
    two: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two.agree("way-one"), two.agree("way-two")
    two.end_all()
    sessions = two.nodes[BANK].sessions
    monkeypatch.setattr(sessions, "_settings", replace(sessions._settings, most=1))
    two.ask(first, ["u00001"])
    two.ask(second, ["u00001"])
    until(lambda: set(sessions._all) == {(second, 1000)})


def test_who_may_not_ask_has_no_session_opened_nor_ended(two: Site) -> None:
    id = two.agree("foreign")
    two.ask(id, ["u00001"])
    plan = two.nodes[BANK].book.get(id).plan.digest()

    def message(sender: str, receiver: str, do: str, plan: str) -> str:
        body = SessionMessage(do, id, 1001, plan).encode()
        with pytest.raises(CallRefusedError) as caught:
            two.nodes[sender].gateway.call(receiver, KIND, body, 10.0)
        return caught.value.peer_code

    assert message(SHOP, BANK, OPEN, plan) == "ATL-AGR-008"
    assert message(BANK, SHOP, OPEN, "0" * 64) == "ATL-AGR-007"
    assert message(BANK, SHOP, "other", plan) == "ATL-NOD-022"
    with pytest.raises(CallRefusedError):
        two.nodes[BANK].gateway.call(SHOP, KIND, b"\x81", 10.0)
    assert two.sessions(SHOP) >= 1
    assert two.ask(id, ["u00001"])["missing"] == []


@pytest.mark.parametrize("party", [BANK, SHOP])
def test_other_code_than_was_signed_serves_no_request(
    two: Site, party: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = two.agree(f"code-{party}")
    packages = two.nodes[party].packages
    known = packages.catalogue()
    other = {**known, "scoring": replace(known["scoring"], sources=("atoll.core",))}
    monkeypatch.setattr(packages, "catalogue", lambda: other)
    with pytest.raises(AtollError) as caught:
        two.ask(id, ["u00001"])
    assert "ATL-AGR-010" in str(caught.value)
    monkeypatch.undo()
    assert two.ask(id, ["u00001"])["missing"] == []


def test_a_revoked_partner_finds_no_agreement_once_it_is_trusted_again(tmp_path: Path) -> None:
    with site(tmp_path) as made:
        id = made.agree("revoked")
        assert made.ask(id, ["nobody"])["missing"] == ["nobody"]
        shop = made.nodes[SHOP]
        admin = local_actor()
        pin = shop.parties.identity.peers[BANK]
        shop.parties.remove(BANK, admin)
        shop.parties.add(BANK, pin.ca.decode(), pin.address, admin)
        with pytest.raises(AtollError, match="ATL-AGR-002"):
            shop.book.live(id)
        grants = shop.policies.grants.list(admin).rows
        named = [grant for grant in grants if BANK in grant.partners]
        assert named
        assert all(grant.revoked is not None for grant in named)
