"""Models and services."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from atoll.flow.api.views.base import Asked, DataName, Given, ModelId, PartyName, Stage


class ModelView(Given):
    """This party's part of a model, with where it comes from."""

    id: ModelId
    version: int
    job: str
    step: str
    role: str
    kind: str
    digest: str
    stage: Stage
    parameters_digest: str | None = None
    lineage: dict[str, JsonValue] = Field(default_factory=dict)
    created: float


class ModelPage(Given):
    """A page of models."""

    items: tuple[ModelView, ...]
    next: str | None = None


class StageRequest(Asked):
    """The stage that a version comes to."""

    stage: Stage


class BindRequest(Asked):
    """The service name that the version stands behind."""

    service: DataName


class ServiceView(Given):
    """A service name, the version behind it, and what stood there before, the last first."""

    name: DataName
    model: ModelId
    version: int
    updated: float
    history: tuple[dict[str, JsonValue], ...] = ()


class ServicePage(Given):
    """A page of service names."""

    items: tuple[ServiceView, ...]
    next: str | None = None


class PredictRequest(Asked):
    """The table of each party."""

    tables: Annotated[dict[PartyName, DataName], Field(min_length=1, max_length=64)]


class MigrateRequest(Asked):
    """New party ids by the old ones."""

    parties: Annotated[dict[PartyName, PartyName], Field(min_length=1, max_length=64)]


class JobAnswer(Given):
    """A job's definition."""

    job: dict[str, JsonValue]
