"""What the guide tells people to type is what the program takes."""

from __future__ import annotations

import re
from pathlib import Path

from atoll.components.catalogue import CATALOGUE
from atoll.flow.planning import schemas
from atoll.jobs.definition import read_job
from atoll.jobs.validation import validate

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"


def test_the_job_of_the_guide_is_valid(tmp_path: Path) -> None:
    text = (GUIDE / "two-machines.md").read_text()
    found = re.search(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert found
    path = tmp_path / "job.toml"
    path.write_text(found[1])
    steps = validate(read_job(path), schemas(CATALOGUE))
    assert list(steps)[-1] == "evaluation"
