"""The reference page lists the addresses that there are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from atoll.flow.api.app import create_app
from atoll.flow.api.reference import table

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "api.md"


def test_the_page_lists_what_is_served() -> None:
    services: Any = SimpleNamespace()
    listed = PAGE.read_text().partition("a test compares -->\n\n")[2]
    assert listed == table(create_app(services).openapi())
