"""Standing agreements over the real API; what answers under them is played."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from atoll.core.errors import AtollError, UserError
from atoll.sdk import AsyncClient, Client
from tests.sdk.agreements import AGREEMENT
from tests.sdk.site import Site


@pytest.fixture
def client(node: Site) -> Iterator[Client]:
    with Client(node.url, token=node.token, timeout=10) as made:
        yield made


def test_they_are_listed_shown_and_ended(client: Client) -> None:
    (found,) = client.agreements.list(live=True).items
    assert found == client.agreements.get(AGREEMENT) == next(client.agreements.all())
    assert (found.party, found.per_day, found.used_today) == ("bank", 100, 3)
    assert found.columns == {"bank": ("x0",), "shop": ("v0", "v1")}
    ended = client.agreements.end(AGREEMENT, "done with it")
    assert (ended.state, ended.ended_by, ended.reason) == ("ended", "admin", "done with it")
    assert client.agreements.list(live=True).items == ()
    with pytest.raises(AtollError) as caught:
        client.agreements.score(AGREEMENT, ["a"])
    assert (caught.value.code, caught.value.exit_code) == ("ATL-AGR-002", 5)


def test_rows_are_scored_with_own_columns_or_without(node: Site, client: Client) -> None:
    found = client.agreements.score(AGREEMENT, ["ab", "nobody", 7])
    assert (found.scores, found.missing) == ((2.0, None, 1.0), ("nobody",))
    columns = {"x0": [1, float("nan")], "x1": iter([None, 2.5])}
    client.agreements.score(AGREEMENT, ["a", "b"], columns, wait=5)
    assert node.played.agreements.asked == [
        ({"ids": ["ab", "nobody", "7"]}, 30.0),
        ({"ids": ["a", "b"], "columns": {"x0": [1.0, None], "x1": [None, 2.5]}}, 5.0),
    ]
    assert client.agreements.ask(AGREEMENT, {"ids": ["abc"]}) == {"scores": [3.0], "missing": []}
    with pytest.raises(UserError, match="ATL-AGR-006"):
        client.agreements.score(AGREEMENT, ["a"], {"x0": ["many"]})  # type: ignore[list-item]


def test_a_request_is_counted_once_under_a_key(node: Site, client: Client) -> None:
    for key in ("monday", "monday", None, None):
        assert client.agreements.score(AGREEMENT, ["abc"], key=key).scores == (3.0,)
    assert len(node.played.agreements.asked) == 3


def test_a_model_proposes_one(node: Site, client: Client) -> None:
    terms: dict[str, Any] = {
        "per_day": 5,
        "most": 9,
        "until": "2030-01-31",
        "columns": {"shop": ["v0"]},
    }
    job = client.models.agreement_job("credit", 1, {"shop": "visits"}, **terms)
    assert client.jobs.submit(job).name == "credit"
    assert node.played.models.proposed == {
        "tables": {"shop": "visits"},
        "per_day": 5,
        "most": 9,
        "until": "2030-01-31",
        "columns": {"shop": ["v0"]},
    }
    with pytest.raises(AtollError) as caught:
        client.models.agreement_job("credit", 1, {"shop": "v"}, **{**terms, "until": "soon"})
    assert (caught.value.code, caught.value.place) == ("ATL-API-001", "body.until")


def test_an_asynchronous_client_does_the_same(node: Site) -> None:
    async def play() -> tuple[float | None, ...]:
        async with AsyncClient(node.url, token=node.token, timeout=10) as client:
            assert (await client.agreements.get(AGREEMENT)).state == "live"
            terms: dict[str, Any] = {"per_day": 5, "most": 9, "until": "2030-01-31"}
            assert (await client.models.agreement_job("credit", 1, {"shop": "v"}, **terms)).name
            found = await client.agreements.score(AGREEMENT, ["ab"])
            return found.scores

    assert asyncio.run(play()) == (2.0,)
