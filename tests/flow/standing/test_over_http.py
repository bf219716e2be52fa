"""A standing agreement from proposal to end, over the HTTP API of two real nodes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import AtollError
from atoll.jobs.errors import DeniedError
from atoll.sdk import Client
from tests.e2e.nodes import EVERYTHING, until
from tests.flow.policy.books import usage
from tests.flow.standing.site import BANK, FAR, LIMIT, SHOP, Site, columns_of, predicted, site

IDS = [f"u{at:05d}" for at in (20, 30, 40)]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("http")) as made:
        yield made


def propose(two: Site, per_day: int, most: int) -> str:
    bank = two.clients[BANK]
    made = bank.models.agreement_job(
        two.model, 1, {SHOP: "people"}, per_day=per_day, most=most, until=FAR
    )
    job = bank.jobs.submit(made).wait(LIMIT).check()
    id = f"{job.id}.scores"
    for client in two.clients.values():
        until(partial(holds, client, id))
    return id


def holds(client: Client, id: str) -> bool:
    return any(one.id == id for one in client.agreements.list(live=True).items)


def grant(two: Site, **terms: Any) -> None:
    """Let all that the tests do be done, or what these terms say, and nothing that was before."""
    shop = two.clients[SHOP]
    for given in shop.data.grants("people").items:
        shop.data.revoke(given.id)
    whole = {**EVERYTHING, "components": sorted(CATALOGUE), **terms}
    shop.data.grant("people", partners=[BANK], automatic=True, **whole)


def closed_lines(client: Client, job: str) -> list[Any]:
    """Return the lines of a job's ledger, once a session of it was closed."""
    found = [line for line in client.ledger.all() if line.body.get("run") == job]
    return found if any(line.kind == "session" for line in found) else []


def test_a_model_becomes_scores_of_single_rows(two: Site, tmp_path: Path) -> None:
    bank, shop = two.clients[BANK], two.clients[SHOP]
    expected = predicted(two, tmp_path)
    id = propose(two, per_day=6, most=8)
    found = bank.agreements.score(id, [*IDS, "nobody"], columns_of([*IDS, IDS[0]]))
    assert found.scores == (*(expected[one] for one in IDS), None)
    assert found.missing == ("nobody",)
    for client in (bank, shop):
        view = client.agreements.get(id)
        assert (view.party, view.used_today, view.used, view.state) == (BANK, 4, 4, "live")
        assert (view.model, view.per_day, view.most, view.until) == (two.model, 6, 8, FAR)
    with pytest.raises(DeniedError) as caught:
        bank.agreements.score(id, IDS, columns_of(IDS))
    assert caught.value.code == "ATL-AGR-004"
    with pytest.raises(AtollError) as malformed:
        bank.agreements.ask(id, {"ids": IDS, "columns": {"x0": [1.0]}})
    assert (malformed.value.code, malformed.value.place) == ("ATL-AGR-006", "columns")
    with pytest.raises(AtollError) as other:
        shop.agreements.score(id, IDS)
    assert other.value.code == "ATL-AGR-008"


def test_a_key_makes_a_request_count_once(two: Site) -> None:
    bank = two.clients[BANK]
    id = propose(two, per_day=100, most=100)
    own = columns_of(IDS)
    first = bank.agreements.score(id, IDS, own, key="monday")
    assert bank.agreements.score(id, IDS, own, key="monday") == first
    assert bank.agreements.get(id).used == 3
    bank.agreements.score(id, IDS, own)
    assert bank.agreements.get(id).used == 6


def test_the_ledger_of_the_host_says_who_used_how_much(two: Site) -> None:
    bank, shop = two.clients[BANK], two.clients[SHOP]
    id = propose(two, per_day=100, most=100)
    bank.agreements.score(id, IDS, columns_of(IDS))
    bank.agreements.score(id, IDS[:1], columns_of(IDS[:1]))
    before = usage(two.nodes[SHOP].policies.ledger, "people", BANK)
    ended = shop.agreements.end(id, "enough")
    assert (ended.state, ended.reason, ended.used) == ("ended", "enough", 4)
    # The first may still meet the session as it ends.
    for codes in (("ATL-AGR-002", "ATL-AGR-009"), ("ATL-AGR-002",)):
        with pytest.raises(AtollError) as caught:
            bank.agreements.score(id, IDS, columns_of(IDS))
        assert caught.value.code in codes
    lines = until(lambda: closed_lines(shop, id.partition(".")[0]))
    spent = [line.body for line in lines if line.kind == "spend"]
    assert [(one["table"], one["partner"], one["counts"]) for one in spent] == [
        ("people", BANK, {"rows": 3}),
        ("people", BANK, {"rows": 1}),
    ]
    (closed,) = [line.body for line in lines if line.kind == "session"]
    assert (closed["units"], closed["known"]) == (4, True)
    assert usage(two.nodes[SHOP].policies.ledger, "people", BANK) == before
    assert two.nodes[SHOP].policies.ledger.verify() is None
    # One line of the first answer, none for the second; the end is the host's.
    asked = [line for line in bank.audit.all() if line.target == id and line.outcome == "done"]
    assert [line.action for line in asked] == ["agreement.begin", "agreement.ask"]
    reported = [line.action for line in shop.audit.all() if line.target == id]
    assert reported[:2] == ["agreement.begin", "agreement.end"]


def test_a_cap_on_rows_binds_at_the_next_request(two: Site) -> None:
    bank = two.clients[BANK]
    id = propose(two, per_day=50, most=50)
    bank.agreements.score(id, IDS, columns_of(IDS))
    used = usage(two.nodes[SHOP].policies.ledger, "people", BANK).rows
    try:
        grant(two, limits={"rows": used + 51})
        with pytest.raises(AtollError) as caught:
            bank.agreements.score(id, IDS, columns_of(IDS))
        assert caught.value.code == "ATL-POL-001"
        second, third = (propose(two, per_day=51, most=51) for _ in range(2))
        many = [f"u{at:05d}" for at in range(40)]
        bank.agreements.score(second, many, columns_of(many))
        with pytest.raises(AtollError) as caught:
            bank.agreements.score(third, many, columns_of(many))
        assert caught.value.code == "ATL-POL-005"
        # What the host refused, the asking party has counted.
        assert bank.agreements.get(third).used == 40
        bank.agreements.score(third, many[:11], columns_of(many[:11]))
        assert usage(two.nodes[SHOP].policies.ledger, "people", BANK).rows == used + 51
    finally:
        grant(two)


def test_a_token_for_asking_alone_asks_and_does_nothing_else(two: Site) -> None:
    id = propose(two, per_day=50, most=50)
    node = two.nodes[BANK]
    admin = node.access.authenticate(node.access.local_token)
    password = node.access.add_user(admin, "mona", ["modeller"])
    assert password is not None
    session = node.access.login("mona", password).token
    node.access.change_password(node.access.authenticate(session), password, "correct horse staple")
    with Client(two.clients[BANK].target.url, token=session) as mona:
        token = mona.tokens.new("scores", scopes=["agreement.ask"], days=1).token
    with Client(two.clients[BANK].target.url, token=token) as program:
        assert program.agreements.score(id, IDS, columns_of(IDS)).missing == ()
        with pytest.raises(DeniedError):
            program.agreements.get(id)
        with pytest.raises(DeniedError):
            program.agreements.end(id)
