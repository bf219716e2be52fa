"""What every test shares: simulation allowed, hypothesis profiles, data, and no silent skips."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["ATOLL_INSECURE_SIMULATION"] = "1"

settings.register_profile(
    "default",
    max_examples=25,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("drill", settings.get_profile("default"), max_examples=500)
settings.load_profile("default")

# Skips for these reasons are right anywhere; under CI any other skip is a failure.
NEEDS_DATA = "needs ATOLL_DATA"
NEEDS_INSTRUCTIONS = "needs instruction set"


def _forbidden_reason(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    if os.environ.get("CI") != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return None
    where = report.longrepr
    reason = str(where[2] if isinstance(where, tuple) else where).removeprefix("Skipped: ")
    return None if reason.startswith((NEEDS_DATA, NEEDS_INSTRUCTIONS)) else reason


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = _forbidden_reason(report)
    if reason is not None:
        report.outcome = "failed"
        report.longrepr = f"with CI=true a skip is a failure: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure under CI, but for want of data or of instructions."""
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a module that skips itself."""
    report = yield
    _refuse(report)
    return report


@pytest.fixture(scope="session")
def atoll_data() -> Path:
    """Return the folder of public tables and vectors, or skip."""
    folder = os.environ.get("ATOLL_DATA")
    if not folder:
        pytest.skip(f"{NEEDS_DATA}: the folder of public tables and vectors")
    return Path(folder)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever started the tests in the background may have made them deaf to SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let stratified samples be drawn from few rows: what is tested there is something else."""
    monkeypatch.setattr("atoll.learning.features.sampling.LEAST_ROWS", 2)
