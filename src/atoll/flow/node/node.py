"""A node put together: database, gateway, control thread, workers, services, API."""

from __future__ import annotations

import hmac
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection

from atoll.channel.grpc.gateway import Gateway, GatewaySettings
from atoll.channel.identity import Identity, keep_current
from atoll.components.api import Catalogue
from atoll.components.kinds import declared
from atoll.components.references import ModelRef, Registered
from atoll.core.errors import AtollError
from atoll.flow.access import ROLES, Actor
from atoll.flow.access.authenticator import AccessSettings
from atoll.flow.access.service import Access
from atoll.flow.api.app import create_app
from atoll.flow.api.extension import Extension, permissions_with
from atoll.flow.api.server import Server
from atoll.flow.api.settings import ApiSettings, is_loopback
from atoll.flow.control import Complain, Ended, JobRecord, QueueLimits, Rules
from atoll.flow.node.configuration import Configuration
from atoll.flow.node.data.service import DataService, DataSettings
from atoll.flow.node.doctor import database_url
from atoll.flow.node.folder import NodeFolder
from atoll.flow.node.housekeeping import Housekeeping, retention_of
from atoll.flow.node.jobs.admission import Slots
from atoll.flow.node.jobs.control import KEEP_SECONDS, Control
from atoll.flow.node.jobs.deciding import Decider, made_up_limits
from atoll.flow.node.jobs.declaring import Declarer
from atoll.flow.node.jobs.effects import NodeEffects
from atoll.flow.node.jobs.endings import ended_line, partner_gone
from atoll.flow.node.jobs.partner_load import Allowance, LoadLimits
from atoll.flow.node.jobs.reading import JobReading
from atoll.flow.node.jobs.rows import JobRows
from atoll.flow.node.jobs.service import JobService
from atoll.flow.node.jobs.syncing import Syncing
from atoll.flow.node.jobs.tasks import Recorder, TaskResources, TaskRunner
from atoll.flow.node.jobs.worker_shares import WorkerLimits, WorkerShares
from atoll.flow.node.models.fitted import fitted_of
from atoll.flow.node.models.service import ModelService
from atoll.flow.node.packages import Packages
from atoll.flow.node.partners.service import PartyService
from atoll.flow.node.plain_services import SettingsService, StatusService
from atoll.flow.node.selftest import SelfTest
from atoll.flow.node.settings import NodeSettings
from atoll.flow.node.standing.book import Book
from atoll.flow.node.standing.inviting import KIND as SESSION
from atoll.flow.node.standing.seats import Seats
from atoll.flow.node.standing.service import AgreementService
from atoll.flow.node.standing.sessions import Sessions, SessionSettings
from atoll.flow.node.task_limits import task_limits
from atoll.flow.planning import build
from atoll.flow.policy.decision import PolicySettings
from atoll.flow.policy.ledger import DatabaseLedger
from atoll.flow.policy.service import Policies
from atoll.flow.store import Database, Jobs
from atoll.flow.store.files import ArtifactFiles
from atoll.flow.work.pool import Pool, PoolSettings
from atoll.flow.work.specification import InputArtifact
from atoll.jobs.errors import EnvironmentFault, NotFoundError
from atoll.jobs.states import ENDED, LIVE

_LOG = logging.getLogger(__name__)
LOCAL = "local administrator"


class NodeAccess(Access):
    """Access that also knows the token of this machine's own administrator.

    That token is made at each start and lies in the node's private folder, so who can read it could
    read the database and the keys as well.
    """

    local_token = ""
    open_to_all = False

    def authenticate(self, token: str, *, client: str = "", browser: bool = False) -> Actor:
        """Return whose token it is. Errors: those of ``Authenticator.authenticate``."""
        known = self.local_token
        if known and not browser and hmac.compare_digest(token.encode(), known.encode()):
            soon = time.time() + 3600.0
            return Actor(LOCAL, frozenset(ROLES), expires=soon, table=self.permissions)
        return super().authenticate(token, client=client, browser=browser)


@dataclass(frozen=True)
class NodeServices:
    """What the API asks; see ``api.services.Services``."""

    jobs: JobService
    data: DataService
    models: ModelService
    agreements: AgreementService
    parties: PartyService
    components: Packages
    settings: SettingsService
    status: StatusService
    access: NodeAccess
    ledger: DatabaseLedger


class Node:
    """A running node. Use it as a context manager; the folder must be locked by the caller.

    ``extensions`` are served beside its own API.

    Errors: those of its parts; nothing is left open when it cannot start.
    """

    def __init__(
        self,
        folder: NodeFolder,
        configuration: Configuration,
        extensions: Sequence[Extension] = (),
    ) -> None:
        self.folder = folder
        self.extensions = extensions
        self.configuration = configuration
        self._stack = ExitStack()
        self._identity = keep_current(folder.root)
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise

    @property
    def settings(self) -> NodeSettings:
        """The node's settings."""
        return self.configuration.settings

    def identity(self) -> Identity:
        """Return who this node is and whom it trusts, as of now."""
        return self._identity

    def catalogue(self) -> Catalogue:
        """Return the components that jobs may use here."""
        return self.packages.catalogue()

    def _open(self) -> None:
        self.folder.make()
        self.folder.clear()
        settings, keep = self.settings, self._stack.enter_context
        url = database_url(self.folder, self.configuration)
        self.database = keep(Database.open(url, readers=settings.database.connections))
        self.files = ArtifactFiles(self.folder.artifacts)
        table = permissions_with(self.extensions)
        self.access = NodeAccess(self.database, self._access_settings(), permissions=table)
        self.access.local_token = secrets.token_urlsafe(32)
        self.packages = Packages(self.database, self.access)
        self.gateway = keep(self._gateway())
        self.pool = keep(self._pool())
        self._make_tables()
        self._make_policies()
        self._make_machines()
        self._make_standing()
        self._make_partners()
        self._make_services()

    def _access_settings(self) -> AccessSettings:
        chosen = self.settings.access
        return AccessSettings(
            session_seconds=chosen.session_hours * 3600,
            idle_seconds=chosen.idle_minutes * 60,
            token_days=chosen.token_days,
        )

    def _gateway(self) -> Gateway:
        chosen = self.settings.gateway
        return Gateway(
            self._identity,
            self.folder.gateway_socket,
            listen=chosen.listen or None,
            settings=GatewaySettings(answer_seconds=chosen.call_seconds),
        )

    def _pool(self) -> Pool:
        chosen = self.settings.workers
        return Pool(
            PoolSettings(
                folder=self.folder.run,
                warm=chosen.warm,
                most=chosen.maximum,
                environment={"ATOLL_THREADS": str(chosen.threads)},
            )
        )

    def _make_tables(self) -> None:
        data, most = self.settings.data, self.settings.http.upload_bytes
        chosen = DataSettings(data.folders, most, data.preview_rows)
        self.data = DataService(self.database, self.access, self.folder.data, chosen)
        self.models = ModelService(
            self.database,
            self.files,
            self.identity,
            self.folder.run / "incoming",
            catalogue=self.catalogue,
        )

    def _make_policies(self) -> None:
        chosen = self.settings.policy
        policy = PolicySettings(chosen.default, chosen.minimum_intersection, chosen.own_jobs)
        self.policies = Policies(self.database, self._identity.party, self.access, policy)
        limits = made_up_limits(chosen)
        self.policies.ledger.know(self.data)
        self.decider = Decider(
            self.policies, self.identity, time.time, synthetic=limits, runs=chosen.runs
        )
        tables, guard = self.data.tables, self.decider.guard
        looks = Allowance(self.settings.jobs.partner_looks_per_hour, 3600.0)
        whole = (self._part, self.models.part, looks.spend)
        self.declarer = Declarer(self.identity, self.catalogue, tables, guard, *whole)

    def _make_machines(self) -> None:
        settings, party = self.settings, self._identity.party
        jobs = settings.jobs
        limits = QueueLimits(jobs.as_initiator, jobs.as_host, jobs.partner_open)
        self.rows = JobRows(self.database, party, time.time)
        self.decider.attach(self.declarer.verify, self.rows.explain)
        self.recorder = Recorder(self.database, self.folder.jobs, time.time, party)
        self.slots = Slots(limits, settings.queue.rule, self._owner_of)
        self.effects = NodeEffects(
            self.database,
            self.rows,
            self.recorder,
            self.declarer,
            self.decider,
            self.slots,
            wake=lambda peers: self.syncing.wake(peers),
            ended=self._job_ended,
            complained=self._complained,
            proposals=jobs.partner_open,
        )
        self._stack.callback(self.effects.close)
        rules = Rules(
            party,
            lambda party, chain: self._identity.public_key(party, chain),
            lambda job, tables, keys: build(job, self.catalogue(), tables, keys, party),
        )
        load = LoadLimits(jobs.partner_mebibytes << 20, jobs.partner_mebibytes_per_day << 20)
        self.control = Control(self.database, rules, self.effects, limits=load)
        self.place = self._place()
        self._stack.callback(self.place.shares.close)
        self.effects.attach(self.control, TaskRunner(self.place, self.effects.on_event))

    def _make_standing(self) -> None:
        self.book = Book(
            self.database,
            self.policies,
            self.access,
            ended=lambda agreement: self.sessions.ended(agreement),
            sessions_per_day=self.settings.standing.sessions_per_day,
        )
        settings = SessionSettings(
            self.settings.standing.idle_seconds,
            self.settings.gateway.call_seconds,
            # The other workers are left to jobs.
            most=max(self.settings.workers.maximum // 2, 1),
        )
        tasks, source = self.effects.tasks, self.data.source
        seats = Seats(self.place, tasks, self.rows.load, self.catalogue, source)
        self.sessions = Sessions(self.book, seats, self.gateway, settings, log=self.recorder.log)
        self._stack.callback(self.sessions.close)

    def _place(self) -> TaskResources:
        return TaskResources(
            self.folder,
            self.database,
            self.files,
            self.gateway,
            self.pool,
            task_limits(self.settings.gateway, self.settings.workers),
            self.identity,
            self.packages.approved,
            self._registered,
            time.time,
            WorkerShares(WorkerLimits.of(self.settings.workers)),
        )

    def _registered(self, reference: ModelRef) -> InputArtifact:
        kind, digest, _ = self.models.part(reference)
        return InputArtifact(kind=kind, digest=digest, path=self.files.path(digest))

    def _part(self, reference: ModelRef) -> Registered:
        from atoll.flow.work.artifacts import load

        found = self._registered(reference)
        lineage = self.models.get(reference.model, reference.version)["lineage"]
        value = load(found.kind, found.path, found.digest, declared(self.catalogue()))
        return Registered(found.kind, value, tuple(fitted_of(lineage)))

    def _owner_of(self, job: str) -> str | None:
        with suppress(NotFoundError):
            return Jobs(self.database).owner(job)
        return None

    def _make_partners(self) -> None:
        chosen = self.settings.gateway
        self.parties = PartyService(
            self.folder.root,
            self.database,
            self.gateway,
            self.access,
            advertise=chosen.advertise,
            call_seconds=chosen.call_seconds,
            changed=self._partners_changed,
            withdraw=self._withdraw,
        )
        self._stack.callback(self.parties.close)
        answers = {
            "ping": lambda call: self.parties.answer_ping(),
            "enrol": self.parties.answer_enrolment,
            "declare": lambda call: self.jobs.answer_declare(call.body, call.party),
            SESSION: self.sessions.answer_call,
        }
        self.syncing = Syncing(
            self.gateway,
            self.control,
            self.identity,
            answers,
            call_seconds=chosen.call_seconds,
            sync_seconds=chosen.sync_seconds,
        )

    def _make_services(self) -> None:
        self.jobs = JobService(
            JobReading(
                self.database, self.files, self.recorder, lambda: declared(self.catalogue())
            ),
            self.control,
            self.declarer,
            self.decider,
            self.rows,
            self.effects.endings,
            self.gateway,
            self.identity,
            self.settings.jobs,
            catalogue=self.catalogue,
            call_seconds=self.settings.gateway.call_seconds,
        )
        self.status = StatusService(
            self.database, self.pool, self.slots, self.gateway, self.identity, self._selftest
        )
        self.services = NodeServices(
            self.jobs,
            self.data,
            self.models,
            AgreementService(self.book, self.sessions, self.access),
            self.parties,
            self.packages,
            SettingsService(self.configuration),
            self.status,
            self.access,
            self.policies.ledger,
        )

    def _selftest(self, parties: Sequence[str], actor: Actor) -> Sequence[Mapping[str, Any]]:
        return SelfTest(self.jobs, self.parties, self.pool, self.database).run(parties, actor)

    def _withdraw(self, connection: Connection, party: str, by: str) -> Callable[[], None]:
        self.policies.grants.withdraw(connection, party, by)
        return self.book.withdraw(connection, party, by)

    def _partners_changed(self, identity: Identity) -> None:
        gone = self._identity.peers.keys() - identity.peers.keys()
        self._identity = identity
        self.syncing.follow(identity)
        for peer in gone:
            partner_gone(self.control, Jobs(self.database), peer)

    def _job_ended(self, record: JobRecord, command: Ended) -> None:
        _LOG.info("%s", ended_line(record, command))
        if command.state == "success":
            self.models.record(record.id)
            self.book.record(record.id)

    def _complained(self, record: JobRecord, command: Complain) -> None:
        actor = f"party:{command.party}"
        self.access.audit.refused(
            actor, "job.facts", record.id, code=command.code, place=command.place
        )

    # -- running --------------------------------------------------------------------------------

    def start(self) -> str:
        """Take up what the database holds, serve, and return the API's URL."""
        self._mark_lost()
        self._finish_ended()
        self.book.take_up()
        self.control.start(self._jobs_at_hand())
        self._stack.callback(self.control.close)
        self.syncing.start()
        self._stack.callback(self.syncing.close)
        self.parties.start()
        housekeeping = Housekeeping(
            self.database,
            self.files,
            self.folder.jobs,
            retention_of(self.settings.retention),
            self.parties.keep_current,
        )
        housekeeping.start()
        self._stack.callback(housekeeping.close)
        settings = self._api_settings()
        secret = self._identity.secret("digests as users are shown them")
        server = Server(create_app(self.services, settings, self.extensions, secret), settings)
        server.start()
        self._stack.callback(server.stop)
        self.status.set_ready(True)
        self.folder.write_http(server.url, self.access.local_token)
        _LOG.info(
            "party %s serves %s, partners at %s",
            self._identity.party,
            server.url,
            self.gateway.address,
        )
        return server.url

    def _mark_lost(self) -> None:
        """Write down as lost, and charge, what ran when the process before this one ended."""
        for job, step, attempt in self.recorder.left():
            self.decider.charge(self.rows.load(job), step, attempt, {})
        self.recorder.mark_lost()

    def _finish_ended(self) -> None:
        """Do for ended jobs what the former process did not come to; the registry does its part."""
        jobs = Jobs(self.database)

        def over(job: str) -> bool:
            row = jobs.find(job)
            return row is None or row.state in ENDED

        for job in self.policies.ledger.open_jobs():
            if over(job):
                self.policies.ledger.settle(job)
        for outputs in self.folder.jobs.glob("*/outputs"):
            if over(outputs.parent.name):
                shutil.rmtree(outputs, ignore_errors=True)

    def _jobs_at_hand(self) -> Mapping[str, JobRecord]:
        """Return the jobs that live, and those whose end partners may not have been sent yet."""
        found: dict[str, JobRecord] = {}
        jobs = Jobs(self.database)
        ended = jobs.ended_last(KEEP_SECONDS, time.time())
        for job, machine in (*jobs.machines(LIVE), *ended):
            try:
                found[job] = JobRecord.from_plain(machine)
            except AtollError as error:
                _LOG.error("job %s cannot be taken up: %s", job, error)
        return found

    def _api_settings(self) -> ApiSettings:
        chosen = self.settings.http
        if not (is_loopback(chosen.host) or chosen.certificate or chosen.plain):
            raise EnvironmentFault(
                "ATL-NOD-031",
                "the API would send passwords in the clear",
                place="http.host",
                hint="give http.certificate and http.key; behind a proxy with TLS: http.plain",
            )
        return ApiSettings(
            host=chosen.host,
            port=chosen.port,
            certificate=Path(chosen.certificate) if chosen.certificate else None,
            key=Path(chosen.key) if chosen.key else None,
            body_bytes=chosen.body_bytes,
            upload_bytes=chosen.upload_bytes,
            request_seconds=chosen.request_seconds,
            authentication=self.settings.access.enabled,
            proxied=chosen.plain,
            proxies=chosen.proxies,
        )

    def close(self) -> None:
        """Let tasks end, then stop in order: the API, partners, machines, workers, the database."""
        self.status.set_ready(False)
        self.sessions.close()
        self.effects.drain(self.settings.node.drain_seconds)
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
