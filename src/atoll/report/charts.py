"""Line, scatter and bar charts as inline SVG: no scripts; hovering shows native titles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from atoll.core.report import BarPanel, LinePanel, ScatterPanel, Series
from atoll.report.axes import Axis, axis, drawable, log_axis
from atoll.report.markup import element, escape, number

WIDTH, HEIGHT = 560, 340
COLOURS = 8
HOVERS = 60
MARKED = 12
POINTS = 4000
BARS = 40

_BAR, _GAP = 16, 8


def curves(panel: LinePanel | ScatterPanel, number_of: int) -> str:
    """Draw a line or scatter panel; ``number_of`` makes ids unique within the page."""
    every = [_points(series) for series in panel.series]
    xs = [x for points in every for x, _ in points]
    ys = [y for points in every for _, y in points]
    ys += [y for series in panel.series for y in (*series.low, *series.high)]
    scatter = isinstance(panel, ScatterPanel)
    vertical = axis(ys, HEIGHT - 46, 12, widen=True)
    left = 36 + 7 * max((len(vertical.label(tick)) for tick in vertical.ticks), default=1)
    horizontal = (
        log_axis(xs, left, WIDTH - 16)
        if isinstance(panel, LinePanel) and panel.x_scale == "log"
        else axis(xs, left, WIDTH - 16, count=6, widen=scatter)
    )
    body = [*_grid(horizontal, vertical), *_names(panel, left)]
    body += [_band(s, f"s{at % COLOURS}", horizontal, vertical) for at, s in _bounded(panel)]
    draw = _cloud if scatter else _line
    for at, (series, points) in enumerate(zip(panel.series, every, strict=True)):
        reference = not scatter and len(panel.series) > 1 and len(points) <= 2
        body += draw(panel, series.name, points, _style(at, reference), horizontal, vertical)
    kind = "Scatter plot" if scatter else "Line chart"
    text = f"{kind} of {panel.y_label} over {panel.x_label}. " + " ".join(
        _summary(series, points) for series, points in zip(panel.series, every, strict=True)
    )
    return _svg(panel.title, text, "".join(body), HEIGHT, number_of)


def legend(panel: LinePanel | ScatterPanel) -> str:
    """Name the series of a chart beside their colours."""
    items = []
    for at, series in enumerate(panel.series):
        short = isinstance(panel, LinePanel) and len(_points(series)) <= 2
        style = _style(at, short and len(panel.series) > 1)
        mark = (
            f'<line class="stroke {style}" x1="1" y1="6" x2="21" y2="6"/>'
            if isinstance(panel, LinePanel)
            else f'<circle class="dot {style}" cx="11" cy="6" r="4"/>'
        )
        swatch = f'<svg viewBox="0 0 22 12" aria-hidden="true">{mark}</svg>'
        items.append(f"<li>{swatch}<bdi>{escape(series.name)}</bdi></li>")
    return f'<ul class="legend">{"".join(items)}</ul>' if len(items) > 1 else ""


def bars(panel: BarPanel, number_of: int) -> str:
    """Draw horizontal bars in the order given, the first 40 of them."""
    pairs = list(zip(panel.labels, panel.values, strict=False))[:BARS]
    longest = max((_width(label) for label, _ in pairs), default=0)
    left = 16 + 6.7 * min(longest, 26)
    bottom = 12 + len(pairs) * (_BAR + _GAP)
    scale = axis([value for _, value in pairs], left, WIDTH - 64, count=4, widen=True, zero=True)
    body = []
    for tick in scale.ticks:
        body.append(_rule(scale.at(tick), 8, scale.at(tick), bottom, tick == 0))
        body.append(_text(scale.at(tick), bottom + 18, scale.label(tick), "middle"))
    for at, (label, value) in enumerate(pairs):
        body.append(_bar(label, value, 12 + at * (_BAR + _GAP), scale, left))
    if panel.value_label:
        middle = (scale.start + scale.end) / 2
        body.append(_text(middle, bottom + 38, panel.value_label, "middle", "axis"))
    top = sorted(pairs, key=lambda pair: -pair[1] if math.isfinite(pair[1]) else 0.0)[:3]
    text = f"Bar chart of {len(pairs)} values. Largest: " + ", ".join(
        f"{label} {number(value)}" for label, value in top
    )
    return _svg(panel.title, text, "".join(body), bottom + 46, number_of)


def _bar(label: str, value: float, top: float, scale: Axis, left: float) -> str:
    shown = value if scale.has(value) else 0.0
    shown = min(max(shown, scale.low), scale.high)
    low, high = sorted((scale.at(0.0), scale.at(shown)))
    rect = (
        f'<rect class="bar s0" x="{low:.1f}" y="{top:.1f}" width="{high - low:.1f}"'
        f' height="{_BAR}" rx="2"/>'
    )
    name = _text(left - 8, top + _BAR - 4, _shortened(label, 26), "end", "name")
    figure = _text(high + 6, top + _BAR - 4, number(value), "start", "figure")
    return f"<g><title>{escape(label)}: {number(value)}</title>{name}{rect}{figure}</g>"


def _line(
    panel: LinePanel | ScatterPanel,
    name: str,
    points: Sequence[tuple[float, float]],
    style: str,
    across: Axis,
    up: Axis,
) -> Iterator[str]:
    path, pen = [], "M"
    for x, y in points:
        if across.has(x) and up.has(y):
            path.append(f"{pen}{across.at(x):.1f} {up.at(y):.1f}")
            pen = "L"
        else:
            pen = "M"
    yield f'<path class="stroke {style}" d="{"".join(path)}"/>'
    every = max(1, math.ceil(len(points) / HOVERS))
    # A curve of few points shows where they are.
    kind, radius = ("dot", 3) if 2 < len(points) <= MARKED else ("hit", 5)
    for x, y in [*points[::every], *points[-1:]] if len(points) > 1 else points:
        if across.has(x) and up.has(y):
            yield _dot(panel, name, x, y, f"{kind} {style}", across.at(x), up.at(y), radius)


def _bounded(panel: LinePanel | ScatterPanel) -> Iterator[tuple[int, Series]]:
    """Yield the series whose values have bounds, with their places."""
    for at, series in enumerate(panel.series):
        if series.low and series.high:
            yield at, series


def _band(series: Series, style: str, across: Axis, up: Axis) -> str:
    """Shade what lies between the bounds of a curve."""
    bounds = [
        (across.at(x), up.at(low), up.at(high))
        for x, low, high in zip(series.x, series.low, series.high, strict=False)
        if across.has(x) and up.has(low) and up.has(high)
    ]
    upper = [f"{x:.1f} {high:.1f}" for x, _, high in bounds]
    lower = [f"{x:.1f} {low:.1f}" for x, low, _ in reversed(bounds)]
    return f'<path class="band {style}" d="M{"L".join(upper + lower)}"/>' if bounds else ""


def _cloud(
    panel: LinePanel | ScatterPanel,
    name: str,
    points: Sequence[tuple[float, float]],
    style: str,
    across: Axis,
    up: Axis,
) -> Iterator[str]:
    every = max(1, math.ceil(len(points) / POINTS))
    for x, y in points[::every]:
        if across.has(x) and up.has(y):
            yield _dot(panel, name, x, y, f"dot {style}", across.at(x), up.at(y), 3)


def _dot(
    panel: LinePanel | ScatterPanel,
    name: str,
    x: float,
    y: float,
    style: str,
    left: float,
    top: float,
    radius: int,
) -> str:
    text = f"{name}: {panel.x_label} {number(x)}, {panel.y_label} {number(y)}"
    return (
        f'<circle class="{style}" cx="{left:.1f}" cy="{top:.1f}" r="{radius}">'
        f"<title>{escape(text)}</title></circle>"
    )


def _grid(across: Axis, up: Axis) -> Iterator[str]:
    for tick in up.ticks:
        at = up.at(tick)
        yield _rule(across.start, at, across.end, at, tick == up.ticks[0])
        yield _text(across.start - 8, at + 4, up.label(tick), "end")
    for tick in across.ticks:
        at = across.at(tick)
        yield _rule(at, up.start, at, up.end, False)
        yield _text(at, up.start + 18, across.label(tick), "middle")


def _names(panel: LinePanel | ScatterPanel, left: float) -> Iterator[str]:
    yield _text((left + WIDTH - 16) / 2, HEIGHT - 6, panel.x_label, "middle", "axis")
    middle = (HEIGHT - 34) / 2
    yield (
        f'<text class="axis" text-anchor="middle" transform="translate(14 {middle:.1f})'
        f' rotate(-90)">{escape(panel.y_label)}</text>'
    )


def _rule(x1: float, y1: float, x2: float, y2: float, base: bool) -> str:
    style = "base" if base else "rule"
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, style: str = "tick") -> str:
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _svg(title: str, description: str, body: str, height: float, number_of: int) -> str:
    name, text = f"chart-{number_of}", f"chart-{number_of}-text"
    return element(
        "svg",
        f'<title id="{name}">{escape(title)}</title><desc id="{text}">{escape(description)}</desc>'
        + body,
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        aria_labelledby=f"{name} {text}",
    )


def _style(at: int, reference: bool) -> str:
    if reference:
        return "reference"
    return f"s{at % COLOURS}" + (" dashed" if at >= COLOURS else "")


def _points(series: Series) -> list[tuple[float, float]]:
    return list(zip(series.x, series.y, strict=False))


def _summary(series: Series, points: Sequence[tuple[float, float]]) -> str:
    finite = [y for x, y in points if drawable(x) and drawable(y)]
    if not finite:
        return f"{series.name}: no points."
    reach = f"from {number(min(finite))} to {number(max(finite))}"
    return f"{series.name}: {len(finite)} points, {reach}."


def _width(text: str) -> float:
    """Estimate the width in letters; East Asian characters take two."""
    return sum(2.0 if ord(character) > 0x2E7F else 1.0 for character in text)


def _shortened(text: str, most: int) -> str:
    if _width(text) <= most:
        return text
    kept = ""
    for character in text:
        if _width(kept + character) > most - 1:
            break
        kept += character
    return kept + "…"
