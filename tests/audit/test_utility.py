"""Noise, bytes and seconds cost what the theory orders, and the page shows what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atoll.audit.utility import __main__ as command
from atoll.audit.utility import noise, traffic, waiting
from atoll.audit.utility.page import Utility
from atoll.audit.utility.task import QUICK, Curve
from atoll.core.report import LinePanel

ONE_SEED = replace(QUICK, horizon=100.0)


@pytest.fixture(scope="module")
def quick() -> Utility:
    return Utility.measured(QUICK)


def test_noise_costs_accuracy_and_local_noise_most() -> None:
    plain, central = noise.measure(None), noise.measure(10.0)
    shared, local = noise.measure(10.0, "distributed"), noise.measure(10.0, "local")
    assert plain["accuracy"] > 0.75
    assert central["epsilon_readers"] <= 10.0
    assert central["epsilon_aggregator"] is None
    assert shared["epsilon_aggregator"] <= 10.0
    assert local["epsilon_aggregator"] <= 10.0
    assert local["multiplier"] == shared["multiplier"] > central["multiplier"]
    assert plain["accuracy"] - 0.15 < central["accuracy"]
    assert local["accuracy"] < shared["accuracy"] - 0.1


def test_compressed_updates_take_the_bytes_of_their_values(quick: Utility) -> None:
    sent = {curve.name: curve.x for curve in quick.bytes}
    whole = sent["no compression"]
    assert whole[0] == pytest.approx(4 * traffic.MODEL.layout.size, rel=0.01)
    assert np.allclose(np.diff(whole), whole[0])
    assert sent["quantised, 8 bits"][-1] == pytest.approx(whole[-1] / 4, rel=0.05)
    assert sent["quantised, 1 bit"][-1] == pytest.approx(whole[-1] / 32, rel=0.2)
    assert all((curve.x < whole).all() for curve in quick.bytes[1:])
    # With less to send the same model is reached, nearly.
    final = {curve.name: float(curve.mean[-1]) for curve in quick.bytes}
    assert final["quantised, 8 bits"] == pytest.approx(final["no compression"], abs=0.03)


def test_who_waits_for_the_slowest_learns_late() -> None:
    rounds, first, buffered = waiting.curves(ONE_SEED)
    assert rounds.facts["steps"] < first.facts["steps"] < buffered.facts["steps"]
    assert buffered.mean[-1] > rounds.mean[-1]
    reached = buffered.reaches(0.8)
    assert reached is not None
    assert reached <= ONE_SEED.horizon


def test_no_model_counts_before_it_is_made() -> None:
    _, curve, _ = waiting.curves(ONE_SEED)
    ends, scores = waiting.train("the first 20 of 26", 1, ONE_SEED.horizon)
    before = curve.x < ends[1]
    assert before.any()
    assert (curve.accuracy[0, before] == scores[0]).all()
    assert curve.accuracy[0, -1] == scores[-1]


def test_a_curve_counts_over_its_seeds() -> None:
    curve = Curve("c", np.array([1.0, 2.0, 3.0]), np.array([[0.0, 0.5, 0.9], [0.2, 0.7, 0.7]]))
    assert curve.spread() == pytest.approx((0.8, 0.7, 0.9))
    assert curve.reaches(0.6) == 2.0
    assert curve.reaches(0.81) is None
    series = curve.series()
    assert series.low == (0.0, 0.5, 0.7)
    assert series.high == (0.2, 0.7, 0.9)


def test_the_page_draws_each_curve_on_a_logarithmic_axis(quick: Utility) -> None:
    reports = quick.reports()
    charts = [panel for report in reports for panel in report.panels if panel.kind == "line"]
    for chart, curves in zip(charts, (quick.epsilon, quick.bytes, quick.seconds), strict=True):
        assert isinstance(chart, LinePanel)
        assert chart.x_scale == "log"
        assert [series.name for series in chart.series] == [curve.name for curve in curves]
        assert [series.x[-1] for series in chart.series] == [curve.x[-1] for curve in curves]
        assert all(0 <= value <= 1 for series in chart.series for value in series.y)


def test_the_command_writes_what_it_measured(
    quick: Utility,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Utility, "measured", lambda size: quick)
    page, guide = tmp_path / "page.html", tmp_path / "guide.md"
    guide.write_text(f"before\n{command.BEGIN}old\n{command.END}\nafter\n", encoding="utf-8")
    command.main(["--quick", "--json", "--report", str(page), "--guide", str(guide)])
    printed = json.loads(capsys.readouterr().out)
    assert printed == quick.lines()
    assert page.read_text(encoding="utf-8").count('<svg viewBox="0 0 560') == 3
    text = guide.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- utility -->\n| ε | central noise |")
    assert text.endswith("<!-- /utility -->\nafter\n")
    assert "old" not in text
    command.main([])
    assert capsys.readouterr().out in text
