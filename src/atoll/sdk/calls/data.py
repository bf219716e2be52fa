"""Calls about tables and the grants over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atoll.flow.api import views
from atoll.flow.policy.grants import Grant, TableCaps
from atoll.sdk.wire import Call, Request, delete, get, given, path, post


def register(
    name: str,
    file: str | Path,
    *,
    id: str = "id",
    label: str | None = None,
    description: str = "",
    key: str | None = None,
) -> Call[views.DataView]:
    """Register a file that lies on the node's machine, inside its allowed folders."""
    body = given(name=name, path=str(file), id=id, label=label, description=description)
    return post(views.DataView, "data", body=body, key=key)


def upload(
    name: str,
    file: str | Path,
    *,
    id: str = "id",
    label: str | None = None,
    description: str = "",
    form: str | None = None,
) -> Call[views.DataView]:
    """Send a file from this machine to the node and register it; ``form`` is by its name."""
    endings = {".parquet": "parquet", ".arrow": "ipc", ".ipc": "ipc", ".feather": "ipc"}
    found = form or endings.get(Path(file).suffix.lower(), "csv")
    query = {"id": id, "label": label, "format": found, "description": description or None}
    at = path("data", name, "content")
    return Call(Request("PUT", at, query, content=Path(file)), views.DataView)


def listing(*, limit: int | None = None, after: str | None = None) -> Call[views.DataPage]:
    """List registered tables by name, a page at a time."""
    return get(views.DataPage, "data", limit=limit, after=after)


def show(name: str) -> Call[views.DataView]:
    """Read the facts of a table."""
    return get(views.DataView, "data", name)


def preview(name: str, *, rows: int | None = None) -> Call[views.Preview]:
    """Read the first rows; the node notes it in its audit log."""
    return get(views.Preview, "data", name, "preview", rows=rows)


def check(name: str) -> Call[views.CheckView]:
    """Look a registered file over again."""
    return post(views.CheckView, "data", name, "check")


def remove(name: str, *, force: bool | None = None) -> Call[None]:
    """Forget a table; an uploaded file goes too."""
    return delete("data", name, force=force)


def grants(name: str) -> Call[views.GrantList]:
    """List the standing grants over a table."""
    return get(views.GrantList, "data", name, "grants")


def grant(
    name: str,
    partners: Sequence[str],
    components: Sequence[str],
    *,
    columns: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    limits: Mapping[str, Any] | None = None,
    minimum_intersection: int | None = None,
    automatic: bool = False,
    expires: float | None = None,
    key: str | None = None,
) -> Call[Grant]:
    """Let partners' jobs use a table in these components; ``"*"`` stands for all of a kind.

    ``expires`` is in seconds since 1970; ``automatic`` approves covered jobs without a person.
    """
    body = given(
        partners=list(partners),
        columns=None if columns is None else list(columns),
        components=list(components),
        roles=None if roles is None else list(roles),
        limits=None if limits is None else dict(limits),
        minimum_intersection=minimum_intersection,
        automatic=automatic,
        expires=expires,
    )
    return post(Grant, "data", name, "grants", body=body, key=key)


def limits(name: str) -> Call[views.LimitList]:
    """List the caps of a table that bind with and without a grant."""
    return get(views.LimitList, "data", name, "limits")


def limit(name: str, caps: Mapping[str, Any], *, partner: str = "*") -> Call[TableCaps]:
    """Set the caps of a table for a partner, or for each (``"*"``), in place of those before.

    Without any cap there is none any more.
    """
    body = {"partner": partner, "caps": dict(caps)}
    return Call(Request("PUT", path("data", name, "limits"), body=body), TableCaps)


def revoke(grant: str) -> Call[None]:
    """Withdraw a grant."""
    return delete("grants", grant)
