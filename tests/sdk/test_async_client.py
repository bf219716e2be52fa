"""The asynchronous client: the same calls, and the same flows, awaited."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from atoll.jobs.errors import NotFoundError
from atoll.sdk import AsyncClient, Client
from tests.sdk.site import Site, make_job


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_both_clients_offer_the_same() -> None:
    with Client("http://127.0.0.1:1") as client:
        other = AsyncClient("http://127.0.0.1:1")
        named = {name for name in vars(client) if not name.startswith("_")}
        assert named == {name for name in vars(other) if not name.startswith("_")}
        asyncio.run(other.close())
    assert public(Client) == public(AsyncClient)


def test_a_job_from_submission_to_report(node: Site, tmp_path: Path) -> None:
    async def play() -> list[int]:
        async with AsyncClient(node.url, token=node.token, timeout=10) as client:
            job = await client.jobs.submit(make_job(), key="once")
            assert (await client.jobs.submit(make_job(), key="once")).id == job.id
            later = threading.Timer(0.1, node.played.jobs.move, (job.id, "success"))
            later.start()
            found = [event.number async for event in job.stream()]
            later.join()
            assert (await job.wait(5)).check().state == "success"
            assert set(await job.reports()) == {"psi"}
            assert await job.download("psi", "table", tmp_path / "t.bin") == 100_000
            assert [row.id async for row in client.jobs.all(limit=1)] == [job.id]
            file = tmp_path / "people.csv"
            file.write_text("id,x0\na,1\n")
            assert (await client.data.upload("people", file)).bytes == 10
            assert await client.models.export("credit", 1, tmp_path / "m.tar") == 18
            assert (await client.models.predict_job("credit", 1, {"bank": "x"})).name
            with pytest.raises(NotFoundError):
                await client.jobs.get("20260101000000-0000000f")
            assert (await job.approve()).state == "running"
            assert (await job.stop()).state == "cancelled"
            return found

    assert asyncio.run(play()) == [1, 2]


def test_many_requests_at_once(node: Site) -> None:
    async def play() -> int:
        async with AsyncClient(node.url, token=node.token, timeout=20) as client:
            made = await asyncio.gather(*(client.jobs.submit(make_job()) for _ in range(10)))
            return len({job.id for job in made})

    assert asyncio.run(play()) == 10
