"""Calls about the node itself: state, settings, components, audit log, ledger, self-test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atoll.flow.api import views
from atoll.sdk.wire import Call, get, path, post
from atoll.sdk.wire import Request as Ask


def status() -> Call[dict[str, Any]]:
    """Ask how the node does."""
    return Call(Ask("GET", path("status")), dict)


def version() -> Call[views.Version]:
    """Ask for the node's version."""
    return Call(Ask("GET", path("version"), anonymous=True), views.Version)


def ready() -> Call[views.Health]:
    """Ask whether the node takes jobs."""
    return Call(Ask("GET", path("health", "ready"), anonymous=True), views.Health)


def settings() -> Call[views.Settings]:
    """List the node's settings; secrets are hidden."""
    return get(views.Settings, "settings")


def components() -> Call[views.ComponentList]:
    """List the catalogue of the node."""
    return get(views.ComponentList, "components")


def component(name: str) -> Call[views.ComponentDetail]:
    """Read a component with the schema of its parameters."""
    return get(views.ComponentDetail, "components", name)


def approve(name: str, digest: str, *, key: str | None = None) -> Call[views.ComponentView]:
    """Approve an installed package's component by its digest."""
    body = {"digest": digest}
    return post(views.ComponentView, "components", name, "approve", body=body, key=key)


def revoke(name: str, digest: str, *, key: str | None = None) -> Call[views.ComponentView]:
    """Withdraw the approval of a component."""
    body = {"digest": digest}
    return post(views.ComponentView, "components", name, "revoke", body=body, key=key)


def audit(*, limit: int | None = None, after: str | None = None) -> Call[views.AuditPage]:
    """Read the audit log, a page at a time."""
    return get(views.AuditPage, "audit", limit=limit, after=after)


def ledger(*, limit: int | None = None, after: str | None = None) -> Call[views.LedgerPage]:
    """Read the leakage ledger, a page at a time."""
    return get(views.LedgerPage, "ledger", limit=limit, after=after)


def selftest(parties: Sequence[str] = (), *, key: str | None = None) -> Call[views.Selftest]:
    """Run a small job with partners, or with this node alone."""
    return post(views.Selftest, "selftest", body={"parties": list(parties)}, key=key)


def schemas() -> Call[views.SchemaList]:
    """List the JSON schemas that the node publishes."""
    return Call(Ask("GET", path("schemas"), anonymous=True), views.SchemaList)


def schema(name: str) -> Call[dict[str, Any]]:
    """Read a JSON schema by its name."""
    return Call(Ask("GET", path("schemas", name), anonymous=True), dict)
