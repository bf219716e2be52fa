"""The reference page of the components says what the catalogue says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from atoll.components.catalogue import CATALOGUE
from atoll.components.dishonest_page import sections
from atoll.components.page import page, section
from atoll.flow.planning import schemas
from atoll.jobs.definition import read_job
from atoll.jobs.participation import Edges
from atoll.jobs.validation import validate

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def test_the_page_is_that_of_the_catalogue() -> None:
    assert (REFERENCE / "components.md").read_text() == page(CATALOGUE)


def test_the_page_of_dishonest_partners_has_what_the_catalogue_declares() -> None:
    text = (REFERENCE.parent / "security" / "dishonest-partner.md").read_text()
    declared = text.partition("<!-- declared -->\n")[2].partition("<!-- /declared -->")[0]
    assert declared == "\n".join(sections(CATALOGUE))


def test_whoever_exchanges_messages_declares_what_lying_buys() -> None:
    for component in CATALOGUE.values():
        silent = isinstance(component.edges, Edges) and component.edges.silent
        assert bool(component.dishonest) != silent, component.name


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_parameter_and_port_stands_in_its_section(name: str) -> None:
    text = section(CATALOGUE[name])
    rows = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert rows == list(CATALOGUE[name].parameters.model_fields)
    for port in (*CATALOGUE[name].inputs, *CATALOGUE[name].outputs):
        assert f"`{port}`" in text


def test_the_job_of_the_page_is_valid(tmp_path: Path) -> None:
    text = (REFERENCE / "jobs.md").read_text()
    found = re.search(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert found
    path = tmp_path / "job.yaml"
    path.write_text(found[1])
    assert validate(read_job(path), schemas(CATALOGUE))[-1] == "statistics"
    assert yaml.safe_load(found[1])["name"] == "loans"
