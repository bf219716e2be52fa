"""``atoll agreement`` as people read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from atoll.cli.main import run
from tests.sdk.agreements import AGREEMENT
from tests.sdk.site import Site

BOUNDS = ("--per-day", "5", "--most", "9", "--until", "2030-01-31")


Printed = Callable[..., str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    def act(*words: str, code: int = 0) -> str:
        found = run(["agreement", *words])
        captured = capsys.readouterr()
        assert found == code, captured.err
        return captured.out if code == 0 else captured.err

    return act


def test_terms_and_use_are_shown(node: Site, printed: Printed) -> None:
    text = printed("show", AGREEMENT)
    for line in (
        "who may ask      bank",
        "model            credit:1",
        "columns of shop  v0, v1",
        "today            3 of 100 rows",
        "in all           7 of 1,000 rows",
        "until            the end of 2030-01-31 (UTC)",
    ):
        assert line in text
    assert f"{AGREEMENT}  live   bank" in printed("list")
    assert "by admin" in printed("end", AGREEMENT, "--yes", "--reason", "enough")
    assert "no standing agreements" in printed("list", "--live")
    assert "ATL-AGR-001" in printed("show", AGREEMENT[:-1], code=3)


def test_rows_are_scored_by_id_or_from_a_file(node: Site, printed: Printed, tmp_path: Path) -> None:
    assert printed("score", AGREEMENT, "ab", "nobody").split() == [
        *("id", "score"),
        *("ab", "2"),
        *("nobody", "missing"),
    ]
    file = tmp_path / "rows.csv"
    file.write_text("x0,key\n1.5,a\n,bb\n")
    assert "bb      2" in printed("score", AGREEMENT, "--file", str(file), "--id", "key")
    body, _ = node.played.agreements.asked[-1]
    assert body == {"ids": ["a", "bb"], "columns": {"x0": [1.5, None]}}


@pytest.mark.parametrize("text", ["", "x0\n1\n", "id,x0\na\n", "id,x0\na,many\n"])
def test_a_file_that_is_none_is_refused_before_anything_is_asked(
    node: Site,
    printed: Printed,
    tmp_path: Path,
    text: str,
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(text)
    assert "ATL-CLI-006" in printed("score", AGREEMENT, "--file", str(file), code=2)
    assert "ATL-CLI-006" in printed("score", AGREEMENT, "a", "--file", str(file), code=2)
    assert "ATL-CLI-006" in printed("score", AGREEMENT, code=2)
    assert node.played.agreements.asked == []


def test_one_is_proposed_or_written_to_a_file(node: Site, printed: Printed, tmp_path: Path) -> None:
    given = ("--table", "shop=visits", "--column", "shop=v0,v1")
    assert "waiting" in printed("propose", "credit:1", *given, *BOUNDS)
    assert node.played.models.proposed["columns"] == {"shop": ["v0", "v1"]}
    assert node.played.jobs.submissions == 1
    file = tmp_path / "job.yaml"
    printed("propose", "credit:1", *given, *BOUNDS, "--save", str(file))
    assert file.read_text()
    assert node.played.jobs.submissions == 1
