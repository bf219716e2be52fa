"""What each command writes with ``--json``: a literal table of classes, published as JSON Schema.

``atoll schema`` lists the names, ``atoll schema "job list"`` prints one. Most are the API's own
answers; those of commands that ask no node are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from atoll.core.report import Report
from atoll.flow.api import views
from atoll.flow.policy.grants import Grant, TableCaps
from atoll.jobs.definition import Job
from atoll.jobs.errors import NotFoundError
from atoll.jobs.plan import Plan
from atoll.jobs.validation import near
from atoll.sdk.results import Scored


class Printed(BaseModel):
    """Something that a command prints; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Done(Printed):
    """A thing that was done and leaves nothing to show."""

    done: bool = True
    what: str = ""


class JobCheck(Printed):
    """A job that is right: its digest, and its steps in the order in which they run."""

    job: str
    steps: tuple[str, ...]


class Saved(Printed):
    """A file that was written."""

    file: str
    bytes: int


class PopulationView(Printed):
    """A population that was made; ``terms`` is the digest of what its clients sign."""

    aggregator: str
    population: str
    folder: str
    terms: str
    until: str


class CodeView(Printed):
    """A one-time code, and when it expires (ISO 8601)."""

    code: str
    expires: str


class CodeList(Printed):
    """Codes, each for one client."""

    items: tuple[CodeView, ...]


class PopulationMember(Printed):
    """A client that joined; ``key`` is the SHA-256 of its public key."""

    number: int
    key: str
    joined: str
    ended: str | None = None
    reason: str | None = None


class PopulationMembers(Printed):
    """Clients by number, and how many ever joined."""

    items: tuple[PopulationMember, ...]
    count: int


class PopulationServed(Printed):
    """What a population's training has reached, with failures and refusals by code."""

    rounds: int
    finished: bool
    model: str
    answered: int
    failed_rounds: int
    failures: dict[str, int]
    refused: dict[str, int]


class LogLine(Printed):
    """A line of a population's log: ``who`` did ``what``, of which client, how often."""

    number: int
    at: str
    what: str
    who: str
    client: int | None
    detail: str
    times: int


class PopulationLog(Printed):
    """Lines of a population's log, the oldest first."""

    items: tuple[LogLine, ...]


class ClientDataSet(Printed):
    """The tasks that a client did on one set of rows, at most, and ε of them."""

    rows: str
    tasks: int
    epsilon: float | None


class ClientStatus(Printed):
    """What a client agreed to and has done.

    ``epsilon`` is what all its tasks so far cost any row of it, whatever files that was in;
    ``epsilon_at_most`` once all tasks of the terms are done; neither without noise. ``data`` are
    its sets of rows, by their SHA-256, the last one last; ``sent`` are bytes of requests.
    """

    aggregator: str
    population: str
    number: int
    address: str
    terms: str
    until: str
    tasks: int
    tasks_at_most: int
    day: str
    today: int
    today_at_most: int
    answered: int
    refused: int
    failed: int
    sent: int
    delta: float
    epsilon: float | None
    epsilon_at_most: float | None
    data: tuple[ClientDataSet, ...]
    certified_until: str


class PeerOfFolder(Printed):
    """A partner that a party's folder trusts."""

    fingerprint: str
    address: str | None = None


class CertificateOfFolder(Printed):
    """When a certificate ends (ISO 8601)."""

    what: str
    party: str
    ends: str


class PartyFolder(Printed):
    """A party as its folder has it."""

    party: str
    fingerprint: str
    peers: dict[str, PeerOfFolder]
    certificates: tuple[CertificateOfFolder, ...]


class LoggedIn(Printed):
    """A connection that was made: never the token itself."""

    profile: str
    url: str
    user: str
    expires: float
    default: bool
    must_change: bool = False


class Verified(Printed):
    """How many lines of a chain were checked, and that it is whole."""

    lines: int
    whole: bool
    head: str = ""


class Scaffolded(Printed):
    """The files of a new package."""

    files: tuple[str, ...]


class BackupDone(Printed):
    """A backup."""

    file: str
    bytes: int
    artifacts: int
    missing: tuple[str, ...]


class RestoreDone(Printed):
    """What came back; ``grants`` that were automatic wait for a person now, ``agreements`` ended,
    ``codes`` of invitation were withdrawn, ``tokens`` and sessions have ended. ``users`` (with
    their roles), trusted ``partners`` and ``caps`` are as the backup has them.
    """

    rows: int
    artifacts: int
    missing: tuple[str, ...]
    settings: tuple[str, ...]
    grants: int
    agreements: int
    codes: int
    tokens: int
    users: tuple[str, ...]
    partners: tuple[str, ...]
    caps: tuple[str, ...]


class Migrated(Printed):
    """The database's schema, and the one before where it was changed."""

    before: str | None
    after: str | None
    changed: bool


class Pruned(Printed):
    """What was removed."""

    jobs: tuple[str, ...]
    artifacts: int
    logs: int
    files: int
    bytes: int


class Started(Printed):
    """A node that runs."""

    pid: int
    url: str


class Stopped(Printed):
    """Whether a node was there to be stopped."""

    stopped: bool


class NodeMade(Printed):
    """A new node, with the first password."""

    party: str
    folder: str
    fingerprint: str
    user: str
    password: str | None


class Finding(Printed):
    """What one check of the doctor found."""

    name: str
    state: str
    message: str
    hint: str | None = None


class Schemas(Printed):
    """The names of what can be asked for: documents, and commands."""

    documents: tuple[str, ...]
    commands: tuple[str, ...]


ERROR: type[BaseModel] = views.ErrorAnswer

# A list as a type stands for a JSON array of it.
COMMANDS: Mapping[str, Any] = {
    "admin backup": BackupDone,
    "admin migrate": Migrated,
    "admin prune": Pruned,
    "admin restore": RestoreDone,
    "agreement end": views.AgreementView,
    "agreement list": views.AgreementPage,
    "agreement propose": views.JobView,
    "agreement score": Scored,
    "agreement show": views.AgreementView,
    "audit show": views.AuditPage,
    "audit verify": Verified,
    "client join": ClientStatus | Done,
    "client leave": Done,
    "client status": ClientStatus,
    "component approve": views.ComponentView,
    "component list": views.ComponentList,
    "component new": Scaffolded,
    "component revoke": views.ComponentView,
    "component show": views.ComponentDetail,
    "data check": views.CheckView,
    "data delete": Done,
    "data grant": Grant,
    "data grants": views.GrantList,
    "data limit": TableCaps,
    "data limits": views.LimitList,
    "data list": views.DataPage,
    "data preview": views.Preview,
    "data register": views.DataView,
    "data revoke": Done,
    "data show": views.DataView,
    "doctor": list[Finding],
    "down": Stopped,
    "init": NodeMade,
    "job annotate": views.JobView,
    "job approve": views.JobView,
    "job artifacts": views.ArtifactList,
    "job check": JobCheck,
    "job get": Saved,
    "job list": views.JobPage,
    "job log": views.Log,
    "job metrics": views.MetricList,
    "job plan": views.PlanView,
    "job refuse": views.JobView,
    "job report": Report | dict[str, Report],
    "job rerun": views.JobView,
    "job retry": views.JobView,
    "job show": views.JobView,
    "job stop": views.JobView,
    "job submit": views.JobView,
    "job traffic": views.TrafficList,
    "job watch": views.Event,
    "ledger show": views.LedgerPage,
    "ledger verify": Verified,
    "login": LoggedIn,
    "logout": Done,
    "model bind": views.ServiceView,
    "model card": Report,
    "model export": Saved,
    "model import": views.ModelView,
    "model list": views.ModelPage,
    "model migrate": views.ModelView,
    "model predict": views.JobView,
    "model publish": views.ModelView,
    "model rollback": views.ServiceView,
    "model services": views.ServicePage,
    "model show": views.ModelView,
    "model stage": views.ModelView,
    "party accept": views.PartyView,
    "party confirm": views.PartyView,
    "party invitations": views.InvitationPage,
    "party invite": views.Invitation,
    "party list": views.PartyPage,
    "party ping": views.Ping,
    "party revoke": Done,
    "party rotate": views.Rotation,
    "party show": PartyFolder,
    "party trust": views.PartyView,
    "party withdraw": Done,
    "population create": PopulationView,
    "population invite": CodeList,
    "population log": PopulationLog,
    "population members": PopulationMembers,
    "population remove": Done,
    "population serve": PopulationServed,
    "restart": Started,
    "schema": Schemas,
    "selftest": views.Selftest,
    "token list": views.TokenPage,
    "token new": views.NewToken,
    "token revoke": Done,
    "up": Started,
    "user add": views.NewUser,
    "user delete": Done,
    "user disable": views.UserView,
    "user enable": views.UserView,
    "user list": views.UserPage,
    "user password": Done,
    "user roles": views.UserView,
    "whoami": views.Me,
}

_OWN: Mapping[str, type[BaseModel]] = {
    "error": ERROR,
    "grant": Grant,
    "job": Job,
    "plan": Plan,
    "report": Report,
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def names() -> Schemas:
    """Return all names that ``schema`` takes."""
    return Schemas(documents=tuple(sorted({*_OWN, *_parameters()})), commands=tuple(COMMANDS))


def schema(name: str) -> dict[str, Any]:
    """Return a JSON Schema by its name. Errors: ATL-CLI-022."""
    from pydantic import TypeAdapter

    if name in COMMANDS:
        found = TypeAdapter(COMMANDS[name]).json_schema(mode="serialization")
    elif name in _OWN:
        found = _OWN[name].model_json_schema(mode="serialization")
    else:
        found = _parameter_schema(name)
    return {"$schema": _DIALECT, **found}


def _parameters() -> list[str]:
    from atoll.components.catalogue import CATALOGUE

    return [f"component {name}" for name in CATALOGUE]


def _parameter_schema(name: str) -> dict[str, Any]:
    known = names()
    if name not in known.documents:
        raise NotFoundError(
            "ATL-CLI-022",
            f"there is no schema {name!r}",
            hint=near(name, [*known.documents, *known.commands]),
        )
    from atoll.components.catalogue import CATALOGUE

    return CATALOGUE[name.removeprefix("component ")].parameters.model_json_schema()
