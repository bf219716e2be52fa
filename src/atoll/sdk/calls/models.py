"""Calls about models and the services that they stand behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from atoll.flow.api import views
from atoll.sdk.results import Report
from atoll.sdk.wire import Call, Request, get, path, post


def listing(
    *, stage: str | None = None, limit: int | None = None, after: str | None = None
) -> Call[views.ModelPage]:
    """List models, the newest first, a page at a time."""
    return get(views.ModelPage, "models", stage=stage, limit=limit, after=after)


def show(model: str, version: int) -> Call[views.ModelView]:
    """Read a model version."""
    return get(views.ModelView, "models", model, version)


def card(model: str, version: int) -> Call[Report]:
    """Read what a person is shown of this party's part."""
    return get(Report, "models", model, version, "card")


def stage(model: str, version: int, stage: str, *, key: str | None = None) -> Call[views.ModelView]:
    """Make a version ``candidate``, ``published`` or ``archived``."""
    return post(views.ModelView, "models", model, version, "stage", body={"stage": stage}, key=key)


def bind(
    model: str, version: int, service: str, *, key: str | None = None
) -> Call[views.ServiceView]:
    """Put a published version behind a service name."""
    body = {"service": service}
    return post(views.ServiceView, "models", model, version, "bind", body=body, key=key)


def services(*, limit: int | None = None, after: str | None = None) -> Call[views.ServicePage]:
    """List the service names."""
    return get(views.ServicePage, "services", limit=limit, after=after)


def rollback(service: str, *, key: str | None = None) -> Call[views.ServiceView]:
    """Put the version back that a service had before."""
    return post(views.ServiceView, "services", service, "rollback", key=key)


def exported(model: str, version: int) -> Request:
    """Return the request for a signed archive of this party's part."""
    return Request("GET", path("models", model, version, "export"), accept="*/*")


def import_(file: str | Path, *, key: str | None = None) -> Call[views.ModelView]:
    """Send a signed archive to the node."""
    return Call(
        Request("POST", path("models", "import"), content=Path(file), key=key), views.ModelView
    )


def migrate(
    model: str, version: int, parties: Mapping[str, str], *, key: str | None = None
) -> Call[views.ModelView]:
    """Make a new version with other party ids (old to new)."""
    body = {"parties": dict(parties)}
    return post(views.ModelView, "models", model, version, "migrate", body=body, key=key)


def predict_job(model: str, version: int, tables: Mapping[str, str]) -> Call[views.JobAnswer]:
    """Ask for a job that scores tables (by party) with a model; submit it then."""
    body = {"tables": dict(tables)}
    return post(views.JobAnswer, "models", model, version, "predict-job", body=body)


def agreement_job(
    model: str,
    version: int,
    tables: Mapping[str, str],
    *,
    per_day: int,
    most: int,
    until: str,
    columns: Mapping[str, Sequence[str]] | None = None,
    id: str = "id",
) -> Call[views.JobAnswer]:
    """Ask for a job that proposes a standing agreement on scores of single rows; submit it then.

    ``tables`` are by party (the guest's may be missing), ``per_day`` and ``most`` bound the rows a
    day and in all, ``until`` is the last day (YYYY-MM-DD, UTC).
    """
    body = {
        "tables": dict(tables),
        "per_day": per_day,
        "most": most,
        "until": until,
        "columns": {party: list(names) for party, names in (columns or {}).items()},
        "id": id,
    }
    return post(views.JobAnswer, "models", model, version, "agreement-job", body=body)
