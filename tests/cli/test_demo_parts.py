from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from atoll.cli.demo import data
from atoll.cli.demo.command import run as run_demo
from atoll.cli.demo.compare import compare, require
from atoll.cli.main import run
from atoll.components.scores import Scores
from atoll.core.errors import AtollError
from atoll.learning.evaluation import auc
from atoll.learning.vertical.boosting import BoostingParameters


def test_breast_is_split_by_columns_and_loses_a_tenth_of_the_rows() -> None:
    shares = data.make("breast", 0, (0, 0), 7)
    assert (len(shares.guest.columns), len(shares.host.columns)) == (10, 20)
    assert shares.guest.num_rows == shares.host.num_rows == 569 - 57
    common = set(shares.guest.ids().to_pylist()) & set(shares.host.ids().to_pylist())
    assert 440 < len(common) < 490
    assert shares.host.label_name is None


def test_tables_repeat_with_a_seed_and_differ_without_it() -> None:
    first, again, other = (data.make("synthetic", 500, (3, 4), seed) for seed in (1, 1, 2))
    assert first.guest.digest() == again.guest.digest()
    assert first.host.digest() == again.host.digest()
    assert first.host.digest() != other.host.digest()
    assert first.guest.ids().to_pylist() != first.host.ids().to_pylist()


def test_credit_has_the_columns_of_each_side(atoll_data: Path) -> None:
    shares = data.make("credit", 0, (0, 0), 7)
    assert (len(shares.guest.columns), len(shares.host.columns)) == (13, 10)
    assert shares.guest.num_rows == 27_000


def test_credit_without_its_data_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATOLL_DATA", raising=False)
    with pytest.raises(AtollError) as caught:
        data.make("credit", 0, (0, 0), 7)
    assert (caught.value.code, caught.value.exit_code) == ("ATL-CLI-002", 3)
    assert "ATOLL_DATA" in (caught.value.hint or "")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(AtollError) as caught:
        data.make("breast", 0, (0, 0), 7)
    assert (caught.value.code, caught.value.exit_code) == ("ATL-CLI-001", 10)
    assert "atoll[demo]" in (caught.value.hint or "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AtollError, match="xgboost"):
        require()


def test_a_folder_with_something_in_it_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old").write_text("")
    assert run(["demo", "--folder", str(tmp_path)]) == 5
    assert "ATL-CLI-004" in capsys.readouterr().err
    assert run(["demo", "--rows", "500", "--data", "breast"]) == 2
    assert callable(run_demo)


def test_references_see_the_same_rows_and_more_columns_help(tmp_path: Path) -> None:
    shares = data.make("synthetic", 3000, (4, 4), 3)
    common = sorted(set(shares.guest.ids().to_pylist()) & set(shares.host.ids().to_pylist()))
    aligned = shares.guest.align(common)
    scores = np.linspace(0.01, 0.99, len(common))
    cut = len(common) * 4 // 5
    for step, part in (("boosting", slice(0, cut)), ("prediction", slice(cut, None))):
        rows = np.arange(len(common))[part]
        taken = aligned.take(rows)
        (tmp_path / step).mkdir()
        kept = Scores(taken.ids(), taken.label(), scores[part])
        (tmp_path / step / "scores.csv").write_bytes(kept.to_csv())
    found = compare(shares, tmp_path, BoostingParameters(trees=5))
    assert list(found.test) == ["guest", "federated", "centralised"]
    assert found.test["federated"].auc == pytest.approx(
        auc(aligned.label()[cut:], scores[cut:]), abs=1e-12
    )
    assert found.test["centralised"].auc > found.test["guest"].auc + 0.02
    assert found.train["centralised"].rows == cut
