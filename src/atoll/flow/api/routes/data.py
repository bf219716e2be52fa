"""Tables: registered by path or uploaded, checked, previewed, granted to partners."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request

from atoll.flow.api import keyed, views
from atoll.flow.api.common import PAGE, After, DataName, Limit
from atoll.flow.api.guard import At, By
from atoll.flow.api.routing import Routes, bytes_body
from atoll.flow.api.shaping import items, paged, shape
from atoll.flow.api.shares import look
from atoll.flow.policy.grants import Grant, GrantTerms, TableCaps

ROUTES = Routes("data")
Column = Query(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")
GrantId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


@ROUTES.get("/data", may="data.read")
def list_(
    services: At, by: By, request: Request, limit: Limit = PAGE, after: After = None
) -> views.DataPage:
    """Return the registered tables by name."""
    page = paged(views.DataPage, services.data.list(limit=limit, after=after))
    shown = tuple(keyed.table(request, by, row) for row in page.items)
    return page.model_copy(update={"items": shown})


@ROUTES.post("/data", may="data.write", status_code=201)
async def register(
    services: At, by: By, request: Request, asked: views.RegisterRequest
) -> views.DataView:
    """Check a file in one of the node's allowed folders, and register it."""
    given = (asked.name, asked.path, asked.id, asked.label, asked.description, by.user)
    found = await look(request, "looks", lambda: services.data.register(*given))
    return keyed.table(request, by, shape(views.DataView, found))


@ROUTES.put(
    "/data/{name}/content", may="data.write", body="upload", openapi_extra=bytes_body("the file")
)
async def upload(
    services: At,
    by: By,
    request: Request,
    name: DataName,
    format: views.Form = "csv",
    id: Annotated[str, Column] = "id",
    label: Annotated[str | None, Column] = None,
    description: Annotated[str, Query(max_length=4096)] = "",
) -> views.DataView:
    """Upload a table: checked while nothing of it is visible, then there as a whole."""
    found = await services.data.upload(
        name,
        request.stream(),
        form=format,
        id_column=id,
        label=label,
        description=description,
        owner=by.user,
    )
    return keyed.table(request, by, shape(views.DataView, found))


@ROUTES.get("/data/{name}", may="data.read")
def get(services: At, by: By, request: Request, name: DataName) -> views.DataView:
    """Return what is known of a table; no value of a row."""
    return keyed.table(request, by, shape(views.DataView, services.data.get(name)))


@ROUTES.delete("/data/{name}", may="data.write", status_code=204)
def delete(services: At, by: By, name: DataName, force: bool = False) -> None:
    """Forget a table; an uploaded file goes too. ``force``: even if a job or grant uses it."""
    services.data.delete(name, by, force=force)


@ROUTES.get("/data/{name}/preview", may="data.preview", watched=True)
async def preview(
    services: At,
    request: Request,
    name: DataName,
    rows: Annotated[int, Query(ge=1, le=1000)] = 10,
) -> views.Preview:
    """Return the first rows."""
    found = await look(request, "looks", lambda: services.data.preview(name, rows))
    return shape(views.Preview, found)


@ROUTES.post("/data/{name}/check", may="data.read")
async def check(services: At, by: By, request: Request, name: DataName) -> views.CheckView:
    """Look the file over again: all its problems, its columns in sum."""
    found = await look(request, "checks", lambda: services.data.check(name))
    return keyed.check(by, shape(views.CheckView, found))


@ROUTES.get("/data/{name}/grants", may="data.read")
def grants(services: At, by: By, name: DataName) -> views.GrantList:
    """Return the standing grants over a table."""
    return items(views.GrantList, services.data.grants(name, by))


@ROUTES.post("/data/{name}/grants", may="data.grant", recorded=True, status_code=201)
def grant(services: At, by: By, name: DataName, asked: GrantTerms) -> Grant:
    """Allow partners' jobs to use a table, on terms."""
    return shape(Grant, services.data.grant(name, asked, by))


@ROUTES.get("/data/{name}/limits", may="data.read")
def limits(services: At, by: By, name: DataName) -> views.LimitList:
    """Return the caps of a table that bind with and without a grant."""
    return items(views.LimitList, services.data.limits(name, by))


@ROUTES.put("/data/{name}/limits", may="data.grant", recorded=True)
def limit(services: At, by: By, name: DataName, asked: views.LimitRequest) -> TableCaps:
    """Set the caps of a table for a partner, or for each, in place of those before."""
    return shape(TableCaps, services.data.limit(name, asked.partner, asked.caps, by))


@ROUTES.delete("/grants/{id}", may="data.grant", recorded=True, status_code=204)
def revoke(services: At, by: By, id: GrantId) -> None:
    """Withdraw a grant, for good."""
    services.data.revoke(id, by)
