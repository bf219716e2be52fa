"""The parts for tests and simulation may run here."""

import pytest


@pytest.fixture(autouse=True)
def _insecure_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOLL_INSECURE_SIMULATION", "1")
