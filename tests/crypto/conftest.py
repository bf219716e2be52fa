"""The reference implementations may run here: these are tests."""

import pytest


@pytest.fixture(autouse=True)
def _allow_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_INSECURE_SIMULATION", "1")
