"""Sessions, the node itself, components, schemas."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue

from atoll.flow.api.views.base import Asked, Digest, Given, Line, Moment, PartyName, TokenText


class LoginRequest(Asked):
    """A user's name and password."""

    user: Line
    password: str = Field(max_length=1024)


class LoginAnswer(Given):
    """A bearer token; ``expires`` is in seconds since 1970."""

    token: TokenText
    expires: Moment


class SessionAnswer(Given):
    """A browser's session: its CSRF token, and when it ends at the latest (seconds since 1970)."""

    csrf: str
    expires: float


class Me(Given):
    """Who is asking, and what they may do; ``csrf`` for a browser's session alone."""

    user: str
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    must_change: bool = False
    csrf: str | None = None


class PasswordRequest(Asked):
    """The present and the new password; ``keep`` names the API tokens that stay."""

    current: str = Field(max_length=1024)
    new: str = Field(max_length=1024)
    keep: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=100)] = ()


class Health(Given):
    """A sign of life."""

    status: Literal["live", "ready"]


class Version(Given):
    """The version of the package and of this interface."""

    version: str
    api: int


class Setting(Given):
    """A setting: its value (hidden if secret), default, and where the value comes from."""

    key: str
    value: JsonValue = None
    default: JsonValue = None
    source: str = "default"
    description: str = ""


class Settings(Given):
    """All settings of the node."""

    items: tuple[Setting, ...]


class SelftestRequest(Asked):
    """With which partners to run it; none: with this node alone."""

    parties: Annotated[tuple[PartyName, ...], Field(max_length=16)] = ()


class SelftestStep(Given):
    """One thing that was tried."""

    name: str
    passed: bool
    seconds: float = 0.0
    message: str = ""
    code: str | None = None


class Selftest(Given):
    """What the self-test found."""

    passed: bool
    steps: tuple[SelftestStep, ...]


class ComponentView(Given):
    """An algorithm that jobs may use here."""

    name: str
    version: str
    approved: bool = True
    distribution: str | None = None
    digest: str | None = None
    roles: tuple[str, ...] = ()
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    outputs: dict[str, str] = Field(default_factory=dict)
    description: str = ""


class ComponentDetail(ComponentView):
    """A component with the JSON schema of its parameters."""

    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class ComponentList(Given):
    """The catalogue."""

    items: tuple[ComponentView, ...]


class DigestRequest(Asked):
    """The digest of what is approved or revoked."""

    digest: Digest


class SchemaList(Given):
    """The names of the published schemas."""

    items: tuple[str, ...]


class JsonObject(Given):
    """Any JSON object."""

    model_config = ConfigDict(frozen=True, extra="allow", json_schema_extra={})

    __pydantic_extra__: dict[str, Any]
