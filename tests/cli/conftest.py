from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.site import Site, site


@pytest.fixture(autouse=True)
def no_connection_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ATOLL_URL", "ATOLL_TOKEN", "ATOLL_PROFILE", "ATOLL_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ATOLL_CONFIG", str(tmp_path / "config" / "config.toml"))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Serve a node that commands without a flag mean."""
    with site(tmp_path) as found:
        monkeypatch.setenv("ATOLL_URL", found.url)
        monkeypatch.setenv("ATOLL_TOKEN", found.token)
        yield found
