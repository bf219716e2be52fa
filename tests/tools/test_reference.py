"""The reference pages say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from atoll.core.settings import Settings
from bench.__main__ import AREAS
from bench.harness import FIELDS

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference"


def test_every_setting_is_described() -> None:
    text = (PAGES / "settings.md").read_text()
    rows = re.findall(r"^\| `(ATOLL_\w+)` \| ([^|]+) \| ([^|]+) \|$", text, flags=re.MULTILINE)
    declared = [
        (f"ATOLL_{name.upper()}", str(field.default), field.description)
        for name, field in Settings.model_fields.items()
    ]
    assert rows == declared


def test_every_field_and_area_of_the_bench_is_described() -> None:
    text = (PAGES / "bench.md").read_text()
    named = set(re.findall(r"`(\w+)`", text))
    assert named >= {*FIELDS, *AREAS, "commit", "machine", "not_run"}
