"""What the API asks of the node: the services behind its routes, as protocols.

Every method is synchronous (but for uploads) and runs on a thread of the API. What is returned "as
``views.X``" is a mapping or an object with the fields of that class in ``atoll.flow.api.views``;
fields beyond them are left out of the answer, absent ones take their defaults.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from atoll.flow.access import Access, Actor
from atoll.flow.policy.grants import Caps, GrantTerms
from atoll.jobs.definition import Job

Plain = Mapping[str, Any]
View = object


@dataclass(frozen=True)
class Page:
    """Some rows of a list, and the cursor for the next page (None: this is the last)."""

    rows: Sequence[Any]
    next: str | None = None


class Listing(Protocol):
    """A page as services return it: ``Page``, or ``atoll.flow.store.paging.Page``."""

    @property
    def rows(self) -> Sequence[Any]:
        """The rows."""
        ...

    @property
    def next(self) -> str | None:
        """What to pass as ``after``."""
        ...


@dataclass(frozen=True)
class Content:
    """A stored artifact: its kind, where its bytes lie, their digest and number.

    ``media`` is what a declared kind of model states about downloads: a media type, or empty for
    never.
    """

    name: str
    kind: str
    path: Path
    digest: str
    bytes: int
    media: str | None = None


class JobService(Protocol):
    """Jobs of this node. Errors: ATL-JOB-…, ATL-FLW-…; an unknown job is a NotFoundError."""

    def plan(self, job: Job, options: Plain, actor: Actor) -> View:
        """Return what the job would do, as far as this party knows: ``views.PlanView``."""
        ...

    def submit(
        self,
        job: Job,
        options: Plain,
        actor: Actor,
        key: str | None,
        tags: Sequence[str],
        notes: str,
    ) -> View:
        """Start a job; the same ``key`` gives the same job again: ``views.JobView``."""
        ...

    def list(
        self,
        *,
        state: str | None,
        name: str | None,
        party: str | None,
        tag: str | None,
        limit: int,
        after: str | None,
    ) -> Listing:
        """Return jobs, the newest first, as ``views.JobRow``."""
        ...

    def get(self, job: str) -> View:
        """Return a job as ``views.JobView``."""
        ...

    def annotate(
        self, job: str, actor: Actor, *, tags: Sequence[str] | None, notes: str | None
    ) -> View:
        """Change tags or notes (None: leave as they are): ``views.JobView``."""
        ...

    def stop(self, job: str, actor: Actor) -> View:
        """Stop a job at all parties: ``views.JobView``."""
        ...

    def retry(self, job: str, actor: Actor) -> View:
        """Try a failed job again from where it failed: ``views.JobView``."""
        ...

    def rerun(self, job: str, step: str | None, actor: Actor) -> View:
        """Run a job again from a step on (None: from the first): ``views.JobView``."""
        ...

    def approve(self, job: str, digest: str, actor: Actor) -> View:
        """Approve the plan of this digest: ``views.JobView``."""
        ...

    def refuse(self, job: str, reason: str, actor: Actor) -> View:
        """Refuse a partner's job: ``views.JobView``."""
        ...

    def plan_of(self, job: str) -> View:
        """Return a job's agreed plan: ``views.PlanView``."""
        ...

    def events(self, job: str, after: int, wait: float, kind: str | None = None) -> Sequence[View]:
        """Return at most 200 events with a number above ``after`` as ``views.Event``.

        Only those of a kind, if one is named. Where there are none, wait up to ``wait`` seconds for
        the first.
        """
        ...

    def log(self, job: str, step: str, attempt: int | None) -> Sequence[View]:
        """Return the log of an attempt (None: the last) as ``views.LogLine``."""
        ...

    def metrics(self, job: str, step: str, attempt: int | None) -> Sequence[View]:
        """Return the metrics of an attempt as ``views.Metric``."""
        ...

    def report(self, job: str, step: str, attempt: int | None) -> View:
        """Return the report of an attempt (``core.report``)."""
        ...

    def traffic(self, job: str) -> Sequence[View]:
        """Return what was sent and received as ``views.Traffic``."""
        ...

    def artifacts(self, job: str) -> Sequence[View]:
        """Return what a job has made here as ``views.Artifact``."""
        ...

    def open_artifact(self, job: str, step: str, name: str) -> Content:
        """Return where an artifact lies, of the last attempt that made it."""
        ...


class DataService(Protocol):
    """Tables of this party. Errors: ATL-DAT-…; an unknown name is a NotFoundError."""

    def register(
        self, name: str, path: str, id_column: str, label: str | None, description: str, owner: str
    ) -> View:
        """Check a file inside the allowed folders and register it: ``views.DataView``."""
        ...

    async def upload(
        self,
        name: str,
        chunks: AsyncIterator[bytes],
        *,
        form: str,
        id_column: str,
        label: str | None,
        description: str,
        owner: str,
    ) -> View:
        """Take in a table from a stream, whole or not at all: ``views.DataView``."""
        ...

    def list(self, *, limit: int, after: str | None) -> Listing:
        """Return registered tables by name as ``views.DataView``."""
        ...

    def get(self, name: str) -> View:
        """Return a table's facts: ``views.DataView``."""
        ...

    def preview(self, name: str, rows: int) -> View:
        """Return the first rows: ``views.Preview``."""
        ...

    def check(self, name: str) -> View:
        """Look the file over again: ``views.CheckView``."""
        ...

    def delete(self, name: str, actor: Actor, *, force: bool) -> None:
        """Forget a table; an uploaded file goes too. Errors: ATL-DAT-107 in use."""
        ...

    def grants(self, name: str, actor: Actor) -> Sequence[View]:
        """Return the standing grants over a table as ``policy.Grant``."""
        ...

    def grant(self, name: str, terms: GrantTerms, actor: Actor) -> View:
        """Make a standing grant: ``policy.Grant``."""
        ...

    def revoke(self, grant: str, actor: Actor) -> None:
        """Withdraw a grant."""
        ...

    def limits(self, name: str, actor: Actor) -> Sequence[View]:
        """Return the own caps of a table as ``policy.TableCaps``."""
        ...

    def limit(self, name: str, partner: str, caps: Caps, actor: Actor) -> View:
        """Set the own caps of a table for a partner or for each: ``policy.TableCaps``."""
        ...


class ModelService(Protocol):
    """The model registry. Errors: ATL-REG-…; an unknown model is a NotFoundError."""

    def list(self, *, stage: str | None, limit: int, after: str | None) -> Listing:
        """Return models, the newest first, as ``views.ModelView``."""
        ...

    def get(self, model: str, version: int) -> View:
        """Return a model version: ``views.ModelView``."""
        ...

    def card(self, model: str, version: int) -> View:
        """Return what a person is shown of this party's part (``core.report``)."""
        ...

    def stage(self, model: str, version: int, stage: str) -> View:
        """Make a version a candidate, published or archived: ``views.ModelView``."""
        ...

    def bind(self, model: str, version: int, service: str) -> View:
        """Put a published version behind a service name: ``views.ServiceView``."""
        ...

    def rollback(self, service: str) -> View:
        """Put the version that was bound before back: ``views.ServiceView``."""
        ...

    def services(self, *, limit: int, after: str | None) -> Listing:
        """Return the service names as ``views.ServiceView``."""
        ...

    def export(self, model: str, version: int) -> Iterable[bytes]:
        """Return a signed archive of this party's part, in pieces."""
        ...

    async def import_(self, chunks: AsyncIterator[bytes]) -> View:
        """Take in a signed archive: ``views.ModelView``."""
        ...

    def migrate(self, model: str, version: int, parties: Mapping[str, str]) -> View:
        """Make a new version with other party ids (old to new): ``views.ModelView``."""
        ...

    def predict_job(self, model: str, version: int, tables: Mapping[str, str]) -> Job:
        """Return a job that scores tables (by party) with a model."""
        ...

    def agreement_job(
        self, model: str, version: int, tables: Mapping[str, str], terms: Plain
    ) -> Job:
        """Return a job that proposes a standing agreement on scores of single rows."""
        ...


class AgreementService(Protocol):
    """Standing agreements. Errors: ATL-AGR-…; an unknown one is a NotFoundError."""

    def list(self, *, live: bool, limit: int, after: str | None) -> Listing:
        """Return agreements, the newest first, as ``views.AgreementView``."""
        ...

    def get(self, agreement: str) -> View:
        """Return an agreement: ``views.AgreementView``."""
        ...

    def end(self, agreement: str, reason: str, actor: Actor) -> View:
        """End an agreement at this node: ``views.AgreementView``."""
        ...

    def ask(self, agreement: str, body: Plain, seconds: float, actor: Actor) -> Plain:
        """Hand a request in, and wait so long for its answer."""
        ...


class PartyService(Protocol):
    """Partners of this node. Errors: ATL-PTY-…, ATL-NOD-…."""

    def list(self, *, limit: int, after: str | None) -> Listing:
        """Return partners by name as ``views.PartyView``."""
        ...

    def add(self, party: str, authority: str, address: str | None, actor: Actor) -> View:
        """Trust a partner's authority (PEM): ``views.PartyView``."""
        ...

    def remove(self, party: str, actor: Actor) -> None:
        """Withdraw the trust in a partner."""
        ...

    def invite(self, party: str, actor: Actor) -> View:
        """Make a one-time code for a partner: ``views.Invitation``."""
        ...

    def invitations(self, *, limit: int, after: str | None) -> Listing:
        """Return the codes that may still be used as ``views.OpenInvitation``."""
        ...

    def withdraw(self, number: str, actor: Actor) -> None:
        """End a code that was not used yet."""
        ...

    def accept(self, code: str, address: str | None, actor: Actor) -> View:
        """Use a partner's code, whose address is stated: ``views.PartyView``."""
        ...

    def confirm(self, party: str, address: str, actor: Actor) -> View:
        """Have a partner dialled at an address: ``views.PartyView``."""
        ...

    def ping(self, party: str) -> View:
        """Ask a partner's node for a sign of life: ``views.Ping``."""
        ...

    def rotate(self, actor: Actor) -> View:
        """Give this node a new key and certificate: ``views.Rotation``."""
        ...


class ComponentService(Protocol):
    """The catalogue, and which packages of others are approved here."""

    def list(self) -> Sequence[View]:
        """Return the components as ``views.ComponentView``."""
        ...

    def get(self, name: str) -> View:
        """Return a component with the schema of its parameters: ``views.ComponentDetail``."""
        ...

    def approve(self, name: str, digest: str, actor: Actor) -> View:
        """Approve an installed package's component: ``views.ComponentView``."""
        ...

    def revoke(self, name: str, digest: str, actor: Actor) -> View:
        """Withdraw an approval: ``views.ComponentView``."""
        ...


class SettingsService(Protocol):
    """The node's settings with their sources; secrets are hidden."""

    def list(self) -> Sequence[View]:
        """Return the settings as ``views.Setting``."""
        ...


class StatusService(Protocol):
    """How the node does."""

    def ready(self) -> bool:
        """Return whether the node takes jobs."""
        ...

    def view(self) -> View:
        """Return party, times, counts of jobs and workers, partners, certificates: JSON-safe."""
        ...

    def gauges(self) -> Mapping[str, float]:
        """Return figures for Prometheus by name, for instance ``atoll_jobs_running``."""
        ...

    def selftest(self, parties: Sequence[str], actor: Actor) -> Sequence[View]:
        """Run a small job with partners; return its steps as ``views.SelftestStep``."""
        ...


class Ledger(Protocol):
    """The leakage ledger; see ``atoll.flow.policy``."""

    def page(self, after: str | None = None, limit: int = 200) -> Listing:
        """Return lines after a number, the oldest first."""
        ...


class Services(Protocol):
    """All services of a node."""

    @property
    def jobs(self) -> JobService:
        """Jobs."""
        ...

    @property
    def data(self) -> DataService:
        """Tables."""
        ...

    @property
    def models(self) -> ModelService:
        """Models."""
        ...

    @property
    def agreements(self) -> AgreementService:
        """Standing agreements."""
        ...

    @property
    def parties(self) -> PartyService:
        """Partners."""
        ...

    @property
    def components(self) -> ComponentService:
        """Components."""
        ...

    @property
    def settings(self) -> SettingsService:
        """Settings."""
        ...

    @property
    def status(self) -> StatusService:
        """State of the node."""
        ...

    @property
    def access(self) -> Access:
        """Users, tokens and the audit log."""
        ...

    @property
    def ledger(self) -> Ledger:
        """The leakage ledger."""
        ...
