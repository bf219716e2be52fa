"""The catalogue of components, and approvals of packages of others."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from atoll.flow.api import views
from atoll.flow.api.guard import At, By
from atoll.flow.api.routing import Routes
from atoll.flow.api.shaping import items, shape

ROUTES = Routes("components")
Name = Annotated[str, Path(pattern=views.STEP_NAME)]


@ROUTES.get("/components", may="component.read")
def list_(services: At) -> views.ComponentList:
    """Return the components that jobs may use here."""
    return items(views.ComponentList, services.components.list())


@ROUTES.get("/components/{name}", may="component.read")
def get(services: At, name: Name) -> views.ComponentDetail:
    """Return a component with the schema of its parameters."""
    return shape(views.ComponentDetail, services.components.get(name))


@ROUTES.post("/components/{name}/approve", may="component.approve")
def approve(services: At, by: By, name: Name, asked: views.DigestRequest) -> views.ComponentView:
    """Approve an installed package's component by its digest."""
    return shape(views.ComponentView, services.components.approve(name, asked.digest, by))


@ROUTES.post("/components/{name}/revoke", may="component.approve")
def revoke(services: At, by: By, name: Name, asked: views.DigestRequest) -> views.ComponentView:
    """Withdraw an approval."""
    return shape(views.ComponentView, services.components.revoke(name, asked.digest, by))
