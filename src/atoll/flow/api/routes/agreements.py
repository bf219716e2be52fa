"""Standing agreements: what was agreed to once, asked for under it, and ended."""

from __future__ import annotations

from typing import Annotated

import anyio.to_thread
from fastapi import Path, Query, Request

from atoll.flow.api import views
from atoll.flow.api.common import PAGE, After, Limit
from atoll.flow.api.guard import At, By
from atoll.flow.api.routing import Routes
from atoll.flow.api.shaping import paged, shape

ROUTES = Routes("agreements")
AgreementId = Annotated[str, Path(pattern=views.AGREEMENT_ID)]
# An answer that comes at the last moment must still be sent in time.
_IN_TIME = 0.9


@ROUTES.get("/agreements", may="agreement.read")
def list_(
    services: At,
    live: Annotated[bool, Query(description="only those that hold today")] = False,
    limit: Limit = PAGE,
    after: After = None,
) -> views.AgreementPage:
    """Return the standing agreements, the newest first."""
    found = services.agreements.list(live=live, limit=limit, after=after)
    return paged(views.AgreementPage, found)


@ROUTES.get("/agreements/{id}", may="agreement.read")
def get(services: At, id: AgreementId) -> views.AgreementView:
    """Return a standing agreement: its terms, and what is used of them here."""
    return shape(views.AgreementView, services.agreements.get(id))


@ROUTES.post("/agreements/{id}/end", may="agreement.end", recorded=True)
def end(services: At, by: By, id: AgreementId, asked: views.EndRequest) -> views.AgreementView:
    """End a standing agreement at this node, at once and for good."""
    return shape(views.AgreementView, services.agreements.end(id, asked.reason, by))


@ROUTES.post("/agreements/{id}/requests", may="agreement.ask", recorded=True, quiet=True)
async def ask(
    services: At,
    by: By,
    request: Request,
    id: AgreementId,
    asked: views.StandingRequest,
    wait: Annotated[float, Query(ge=1, le=60, description="seconds to wait for the answer")] = 30.0,
) -> views.JsonObject:
    """Ask under a standing agreement, and wait for the answer."""
    state = request.app.state
    seconds = min(wait, state.settings.request_seconds * _IN_TIME)
    answer = await anyio.to_thread.run_sync(
        lambda: services.agreements.ask(id, asked.root, seconds, by),
        abandon_on_cancel=True,
        limiter=state.askers,
    )
    return shape(views.JsonObject, answer)
