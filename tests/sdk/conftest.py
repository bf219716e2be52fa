from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.sdk import Client
from tests.sdk.site import Site, site


@pytest.fixture(autouse=True)
def no_connection_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ATOLL_URL", "ATOLL_TOKEN", "ATOLL_PROFILE", "ATOLL_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ATOLL_CONFIG", str(tmp_path / "config" / "config.toml"))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as found:
        yield found


@pytest.fixture
def client(node: Site) -> Iterator[Client]:
    with Client(node.url, token=node.token, timeout=10) as found:
        yield found
