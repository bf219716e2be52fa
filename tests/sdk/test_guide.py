"""The guide's Python does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from atoll.sdk import Client, Job, Pipeline

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "python.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_job_and_the_federation_of_the_guide_run() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 4))
    ids = [f"r{at}" for at in range(300)]
    y = (x[:, 0] + x[:, 2] > 0).astype(float)
    known: dict[str, Any] = {
        "loans": pd.DataFrame({"id": ids, "a": x[:, 0], "b": x[:, 1], "y": y}),
        "visits": pd.DataFrame({"id": ids[::-1], "c": x[::-1, 2], "d": x[::-1, 3]}),
    }
    job, _, federation, _ = blocks()
    quick = job.replace("trees=50", "trees=2, implementation='ideal'").replace(
        "p.psi(rows.table)", "p.psi(rows.table, protocol='ideal')"
    )
    exec(quick, known)
    exec(federation, known)
    assert known["done"]["acme-bank"].metrics["evaluation.test.auc"] > 0.7
    exec(job, known)
    assert isinstance(known["p"], Pipeline)


def test_the_estimator_of_the_guide_learns() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(200, 2)), columns=["income", "visits"])
    known: dict[str, Any] = {"frame": frame, "y": (frame.sum(axis=1) > 0).astype(int)}
    exec(blocks()[3].replace("trees=20", "trees=2, implementation='ideal'"), known)
    assert known["model"].score(frame, known["y"]) > 0.7


def test_the_table_of_the_guide_names_every_method() -> None:
    with Client("http://127.0.0.1:1") as client:
        for name, reported in re.findall(
            r"^\| `(\w+)` \| (`.*) \|$", PAGE.read_text(), re.MULTILINE
        ):
            offered = {m for m in dir(getattr(client, name)) if not m.startswith("_")}
            assert offered == set(re.findall(r"`(\w+)`", reported)), name
    named = set(re.findall(r"`(\w+)(?:\(\w+\))?`", PAGE.read_text()))
    assert {m for m in dir(Job) if not m.startswith("_")} - named <= {"name", "to_dict"}
