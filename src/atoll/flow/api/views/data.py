"""Tables, and what was found in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from atoll.flow.api.views.base import LINE, Asked, ColumnName, DataName, Given, Lines
from atoll.flow.policy.grants import ANY, Caps, Grant, TableCaps


class RegisterRequest(Asked):
    """A file on the node's machine, inside the allowed folders."""

    name: DataName
    path: Annotated[str, Field(min_length=1, max_length=4096, pattern=LINE)]
    id: ColumnName = "id"
    label: ColumnName | None = None
    description: Lines = ""


class DataView(Given):
    """A registered table; ``columns`` are the features."""

    name: DataName
    format: str
    digest: str
    id_column: str
    label: str | None = None
    columns: tuple[str, ...]
    rows: int
    bytes: int
    owner: str = ""
    description: str = ""
    uploaded: bool = False
    created: float


class DataPage(Given):
    """A page of tables."""

    items: tuple[DataView, ...]
    next: str | None = None


class Preview(Given):
    """The first rows; ids as text, missing values null, escaped as in a CSV export."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]


class ColumnView(Given):
    """A column in sum."""

    name: str
    role: str
    type: str
    missing: int
    distinct: int
    many: bool
    minimum: float | None = None
    maximum: float | None = None


class ProblemView(Given):
    """A broken rule in a file."""

    code: str
    message: str
    row: int | None = None
    column: str | None = None
    line: int | None = None
    hint: str | None = None


class CheckView(Given):
    """What a look at the file found."""

    file: str
    format: str
    bytes: int
    rows: int
    ok: bool
    changed: bool = False
    columns: tuple[ColumnView, ...]
    problems: tuple[ProblemView, ...]
    complete: bool
    notes: tuple[str, ...] = ()


class LimitRequest(Asked):
    """Caps for a partner, or for each (``*``), in place of those before; without any: no more."""

    partner: Annotated[str, Field(pattern=r"^(\*|[a-z0-9][a-z0-9-]{0,62})$")] = ANY
    caps: Caps = Caps()


class LimitList(Given):
    """The caps of a table."""

    items: tuple[TableCaps, ...]


class GrantList(Given):
    """The grants over a table."""

    items: tuple[Grant, ...]
