"""The reference pages say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from atoll.components.catalogue import CATALOGUE
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


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_parameter_of_a_component_is_described(name: str) -> None:
    _, _, rest = (PAGES / "jobs.md").read_text().partition(f"\n## {name}\n")
    section = rest.partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]+) \|$", section, flags=re.MULTILINE)
    declared = [
        (field, _default(info.default), info.description)
        for field, info in CATALOGUE[name].parameters.model_fields.items()
    ]
    assert [(field, default.strip(), said) for field, default, said in rows] == declared
    ports = {*CATALOGUE[name].inputs, *CATALOGUE[name].outputs}
    assert ports <= set(re.findall(r"`(\w+)`", section.partition("|")[0]))


def _default(value: object) -> str:
    return "" if value is None or value is PydanticUndefined else str(value)
