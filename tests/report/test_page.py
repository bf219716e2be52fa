"""The exported page: nothing from a report becomes markup, and every chart can be drawn."""

from __future__ import annotations

import math
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.core.report import (
    BarPanel,
    KeyValuePanel,
    LinePanel,
    Report,
    ScatterPanel,
    Series,
    TablePanel,
    TextPanel,
)
from atoll.report.axes import axis, log_axis
from atoll.report.markup import escape, number
from atoll.report.page import render, write_html

ELEMENTS = set(
    re.findall(
        r"\S+",
        "html head meta title style body header div h1 h2 h3 nav ul li a main section article p dl"
        " dt dd table thead tbody tr th td figure svg desc g path line circle rect text bdi details"
        " summary footer",
    )
)
PLACES = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "width", "height"}
ATTRIBUTES = PLACES | set(
    re.findall(
        r"\S+",
        "lang charset http-equiv content name class id href title scope role tabindex aria-label"
        " aria-labelledby aria-hidden viewbox d text-anchor transform",
    )
)
VOID = {"meta"}
NASTY = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></style></svg><script>",
    "javascript:alert(1)",
    "]]><!--",
    "&lt;b&gt; &amp;",
    "evil\u202etxt.exe\x00\x07",
    "{{7*7}}${7*7}",
]


class Page(HTMLParser):
    """Reads a page strictly: known elements and attributes only, each closed in its turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.references: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS
        given = {name: value or "" for name, value in attrs}
        assert given.keys() <= ATTRIBUTES
        assert len(given) == len(attrs)
        places = [given[name] for name in PLACES & given.keys()]
        places += re.findall(r"[^ML ]+", given.get("d", ""))
        assert all(abs(float(place)) < 1e5 for place in places)
        self.elements[tag] += 1
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.references += given.get("aria-labelledby", "").split()
        self.text.append(given.get("title", ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def every_panel(text: str, values: tuple[float, ...]) -> Report:
    series = (Series(name=text, x=values, y=values), Series(name=text, x=(0.0,), y=(1.0,)))
    row: tuple[Any, ...] = (text, values[0] if values else None, 3)
    return Report(
        title=text,
        panels=(
            TextPanel(title=text, help=text, text=text, level="warning"),
            KeyValuePanel(title=text, values={text: text, "n": 1, "none": None, "x": 0.5}),
            TablePanel(title=text, columns=(text, "b", "c"), rows=(row, row)),
            LinePanel(title=text, x_label=text, y_label=text, series=series),
            ScatterPanel(title=text, x_label=text, y_label=text, series=series),
            BarPanel(title=text, labels=(text,) * len(values), values=values, value_label=text),
        ),
    )


def check(report: Report) -> Page:
    page = Page(render([report, report]))
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references) <= set(page.ids)
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    return page


@pytest.mark.parametrize("text", NASTY)
def test_text_of_others_stays_text(text: str) -> None:
    page = check(every_panel(text, (1.0, 2.0)))
    shown = "".join(c if c not in "\u202e\x00\x07" else "\N{REPLACEMENT CHARACTER}" for c in text)
    assert sum(shown in piece for piece in page.text) > 20
    assert page.elements == check(every_panel("plain", (1.0, 2.0))).elements


@given(st.text(), st.lists(st.floats(), max_size=6))
def test_any_text_and_any_numbers_make_a_page(text: str, values: list[float]) -> None:
    page = Page(render(every_panel(text, tuple(values))))
    assert page.elements["svg"] >= 3


@pytest.mark.parametrize(
    "values",
    [
        (),
        (0.0,),
        (5.0, 5.0),
        (math.nan, 1.0, math.inf, 2.0),
        (1.7e308, -1.7e308, 1.0),
        (1e-310, 2e-310),
        (1e15, 1e15 + 1),
        (-3.0, -1.0),
    ],
)
def test_odd_numbers_are_drawn(values: tuple[float, ...]) -> None:
    check(every_panel("odd", values))


def test_the_page_is_alone() -> None:
    page = render(every_panel("name", (1.0, 2.0)))
    assert "default-src 'none'" in page
    for outside in ("http:", "https:", "//", "@import", "url(", "<script", "<link"):
        assert outside not in page


def test_charts_are_described_and_series_named() -> None:
    page = Page(render(every_panel("gain", (1.0, 2.0, 4.0))))
    assert page.elements["desc"] == 3
    assert any("gain: 3 points, from 1 to 4." in piece for piece in page.text)
    assert page.text.count("gain: gain 4, gain 4") >= 2


def test_bars_beyond_forty_are_in_the_table() -> None:
    labels = tuple(f"column {at}" for at in range(60))
    panel = BarPanel(title="Importance", labels=labels, values=tuple(map(float, range(60))))
    page = Page(render(Report(title="t", panels=(panel,))))
    assert (page.elements["rect"], page.elements["details"]) == (40, 1)
    assert "column 59" in page.text


def test_the_file_is_whole_or_absent(tmp_path: Path) -> None:
    report = every_panel("a", (1.0,))
    write_html(report, tmp_path / "report.html", title="Head")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render(report, title="Head")
    with pytest.raises(AtollError) as error:
        write_html(report, tmp_path / "none" / "report.html")
    assert error.value.code == "ATL-TAB-025"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


@given(st.lists(st.floats(-1e200, 1e200), min_size=1), st.booleans(), st.booleans())
def test_axes_hold_their_values_and_few_ticks(vs: list[float], widen: bool, zero: bool) -> None:
    scale = axis(vs, 0.0, 100.0, widen=widen, zero=zero)
    assert all(-1e-6 <= scale.at(value) <= 100 + 1e-6 for value in vs)
    assert 1 <= len(scale.ticks) <= 16
    assert all(scale.label(tick) for tick in scale.ticks)


@given(st.lists(st.floats(), min_size=1))
def test_logarithmic_axes_hold_their_positive_values(vs: list[float]) -> None:
    scale = log_axis(vs, 0.0, 100.0)
    drawn = [value for value in vs if scale.has(value) and value > 1e-299]
    assert all(-1e-6 <= scale.at(value) <= 100 + 1e-6 for value in drawn)
    assert not scale.has(0.0)
    assert not scale.has(-1.0)
    assert 1 <= len(scale.ticks) <= 16
    assert all(scale.label(tick) for tick in scale.ticks)


def test_logarithmic_ticks_are_powers_of_ten_and_between() -> None:
    assert log_axis([1.0, 30.0], 0, 1).ticks == (1.0, 2.0, 5.0, 10.0, 20.0)
    wide = log_axis([1e-3, 1e6], 0, 1)
    assert [wide.label(tick) for tick in wide.ticks] == ["0.001", "0.1", "10", "1,000", "100,000"]
    assert wide.at(1e-3) == 0
    assert wide.at(10**1.5) == pytest.approx(0.5)


def test_bounds_are_shaded_and_points_at_nought_left_out() -> None:
    series = Series(
        name="a", x=(0.0, 1.0, 10.0), y=(0.5, 0.6, 0.7), low=(0, 0.5, 0.6), high=(1,) * 3
    )
    panel = LinePanel(title="t", x_label="x", x_scale="log", y_label="y", series=(series,))
    text = render(Report(title="t", panels=(panel,)))
    Page(text)
    (band,) = re.findall(r'class="band s0" d="([^"]*)"', text)
    assert band.count("L") == 3
    (line,) = re.findall(r'class="stroke s0" d="([^"]*)"', text)
    assert line.count("L") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (-3, "−3"),
        (0.5, "0.5"),
        (0.7712345, "0.77123"),
        (12345.6, "12,346"),
        (0.0, "0"),
        (1.5e-7, "1.500e−07"),
        (math.inf, "∞"),
        (math.nan, "not a number"),
    ],
)
def test_numbers_are_readable(value: float, text: str) -> None:
    assert number(value) == text


def test_escape_covers_attributes() -> None:
    assert escape("\"'<>&") == "&quot;&#x27;&lt;&gt;&amp;"
