"""Users and strangers who ask again and again, against the API of a whole node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.flow.api.site import JOB, Site, site


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("place")) as made:
        yield made


def test_a_user_has_a_share_of_the_jobs_that_wait(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One modeller could have the jobs of all others refused."""
    jobs: Any = place.node.services.jobs
    few = jobs._settings.model_copy(update={"user_open": 2})
    monkeypatch.setattr(jobs, "_settings", few)
    first, second = place.person("mo", "modeller"), place.person("mia", "modeller")
    with place.client(first) as user, place.client(second) as other:
        made = [user.post("/jobs", json={"job": JOB}) for _ in range(3)]
        assert [one.status_code for one in made] == [201, 201, 409]
        assert made[2].json()["error"]["code"] == "ATL-NOD-024"
        assert other.post("/jobs", json={"job": JOB}).status_code == 201
        user.post(f"/jobs/{made[0].json()['id']}/stop").raise_for_status()
        assert user.post("/jobs", json={"job": JOB}).status_code == 201
