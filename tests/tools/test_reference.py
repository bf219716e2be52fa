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


def test_every_other_variable_is_described() -> None:
    root = PAGES.parents[1]
    read = [p.read_text() for p in [*(root / "src").rglob("*.py"), root / "do"]]
    used = {name for text in read for name in re.findall(r"\bATOLL_[A-Z_]*[A-Z]\b", text)}
    used -= {"ATOLL_SECTION__KEY"}
    assert used <= set(re.findall(r"`(ATOLL_\w+)`", (PAGES / "settings.md").read_text()))


def test_every_field_and_area_of_the_bench_is_described() -> None:
    text = (PAGES / "bench.md").read_text()
    named = set(re.findall(r"`(\w+)`", text))
    assert named >= {*FIELDS, *AREAS, "commit", "machine", "not_run"}
