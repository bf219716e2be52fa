"""Typed reports: what a step found, as panels that every front end draws alike."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Panel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    help: str = ""


class KeyValuePanel(_Panel):
    """Named values, in order."""

    kind: Literal["kv"] = "kv"
    values: dict[str, float | int | str | None]


class TablePanel(_Panel):
    """Rows under named columns."""

    kind: Literal["table"] = "table"
    columns: tuple[str, ...]
    rows: tuple[tuple[float | int | str | None, ...], ...]


class Series(BaseModel):
    """One named curve or set of points; ``low`` and ``high`` bound a curve's values, if known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


class LinePanel(_Panel):
    """Curves over a common axis, on which ``x_scale`` "log" leaves out values up to nought."""

    kind: Literal["line"] = "line"
    x_label: str
    x_scale: Literal["linear", "log"] = "linear"
    y_label: str
    series: tuple[Series, ...]


class ScatterPanel(_Panel):
    """Points."""

    kind: Literal["scatter"] = "scatter"
    x_label: str
    y_label: str
    series: tuple[Series, ...]


class BarPanel(_Panel):
    """One value per label."""

    kind: Literal["bar"] = "bar"
    labels: tuple[str, ...]
    values: tuple[float, ...]
    value_label: str = ""


class TextPanel(_Panel):
    """A paragraph; ``level`` marks a warning."""

    kind: Literal["text"] = "text"
    text: str
    level: Literal["info", "warning"] = "info"


Panel = Annotated[
    KeyValuePanel | TablePanel | LinePanel | ScatterPanel | BarPanel | TextPanel,
    Field(discriminator="kind"),
]


class Report(BaseModel):
    """A titled list of panels: all that a step reports."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    title: str
    panels: tuple[Panel, ...]
