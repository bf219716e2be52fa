"""The published JSON schemas: what goes in and comes out, by name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from atoll.core.report import Report
from atoll.flow.api import views
from atoll.flow.policy.grants import Grant
from atoll.jobs.definition import Job
from atoll.jobs.errors import NotFoundError
from atoll.jobs.plan import Plan
from atoll.jobs.validation import near

_SCHEMAS: Mapping[str, type[BaseModel]] = {
    "job": Job,
    "plan": Plan,
    "report": Report,
    "error": views.ErrorAnswer,
    "job-view": views.JobView,
    "job-page": views.JobPage,
    "event": views.Event,
    "event-list": views.EventList,
    "log": views.Log,
    "metric-list": views.MetricList,
    "traffic-list": views.TrafficList,
    "artifact-list": views.ArtifactList,
    "data-view": views.DataView,
    "data-page": views.DataPage,
    "preview": views.Preview,
    "check": views.CheckView,
    "grant": Grant,
    "grant-list": views.GrantList,
    "limit-list": views.LimitList,
    "model-view": views.ModelView,
    "model-page": views.ModelPage,
    "service-page": views.ServicePage,
    "party-view": views.PartyView,
    "party-page": views.PartyPage,
    "component-list": views.ComponentList,
    "component": views.ComponentDetail,
    "user-page": views.UserPage,
    "token-page": views.TokenPage,
    "audit-page": views.AuditPage,
    "ledger-page": views.LedgerPage,
    "settings": views.Settings,
    "selftest": views.Selftest,
}
NAMES: tuple[str, ...] = tuple(sorted(_SCHEMAS))


@functools.cache
def schema(name: str) -> Mapping[str, Any]:
    """Return a schema (JSON Schema 2020-12), made once. Errors: ATL-API-013."""
    found = _SCHEMAS.get(name)
    if found is None:
        raise NotFoundError(
            "ATL-API-013", "there is no such schema", place=name, hint=near(name, NAMES)
        )
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | found.model_json_schema(mode="serialization")
