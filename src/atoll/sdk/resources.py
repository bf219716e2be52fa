"""What a client offers, one line a call; the calls themselves are in ``calls``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from atoll.flow.api import views
from atoll.jobs import definition
from atoll.sdk import flows
from atoll.sdk.binding import Bound, Resource, Runner, every, flowing, method, offered
from atoll.sdk.calls import agreements, data, jobs, models, node, parties, people
from atoll.sdk.flows import Flow
from atoll.sdk.jobs import Job
from atoll.sdk.wire import Call

P = ParamSpec("P")


def handle(build: Callable[P, Call[views.JobView]]) -> Callable[Concatenate[Bound, P], Job]:
    """Return the method that sends a call and returns a handle of the job in the answer."""

    def call(self: Bound, /, *args: P.args, **named: P.kwargs) -> Flow[Job]:
        view = yield from self._send(build(*args, **named))
        return Job(self._client, view)

    return offered(flowing(call), build, "job", 0)


def draft(
    build: Callable[P, Call[views.JobAnswer]],
) -> Callable[Concatenate[Bound, P], definition.Job]:
    """Return the method that asks for a job, which is not submitted yet, and returns it."""

    def call(self: Bound, /, *args: P.args, **named: P.kwargs) -> Flow[definition.Job]:
        found = yield from self._send(build(*args, **named))
        return definition.Job.model_validate(found.job)

    return offered(flowing(call), build, "draft", 0)


class Jobs(Resource):
    """Jobs of the node."""

    plan = method(jobs.plan)
    submit = handle(jobs.submit)
    list = method(jobs.listing)
    all = every(jobs.listing)
    get = handle(jobs.show)


class Data(Resource):
    """Tables of the node, and the grants over them."""

    register = method(data.register)
    upload = method(data.upload)
    list = method(data.listing)
    all = every(data.listing)
    get = method(data.show)
    preview = method(data.preview)
    check = method(data.check)
    delete = method(data.remove)
    grants = method(data.grants)
    grant = method(data.grant)
    limits = method(data.limits)
    limit = method(data.limit)
    revoke = method(data.revoke)


class Models(Resource):
    """Models: this party's parts."""

    list = method(models.listing)
    all = every(models.listing)
    get = method(models.show)
    card = method(models.card)
    stage = method(models.stage)
    bind = method(models.bind)
    import_ = method(models.import_)
    migrate = method(models.migrate)
    predict_job = draft(models.predict_job)
    agreement_job = draft(models.agreement_job)

    @flowing
    def export(self, model: str, version: int, file: str | Path) -> Flow[int]:
        """Save a signed archive of this party's part; return the number of bytes."""
        return (yield from flows.download(models.exported(model, version), Path(file)))


class Agreements(Resource):
    """Standing agreements, and requests under them."""

    list = method(agreements.listing)
    all = every(agreements.listing)
    get = method(agreements.show)
    end = method(agreements.end)
    ask = method(agreements.ask)
    score = method(agreements.score)


class Services(Resource):
    """Service names, and the model versions behind them."""

    list = method(models.services)
    all = every(models.services)
    rollback = method(models.rollback)


class Parties(Resource):
    """Partners of the node."""

    list = method(parties.listing)
    all = every(parties.listing)
    add = method(parties.add)
    revoke = method(parties.revoke)
    invite = method(parties.invite)
    invitations = method(parties.invitations)
    withdraw = method(parties.withdraw)
    accept = method(parties.accept)
    confirm = method(parties.confirm)
    ping = method(parties.ping)
    rotate = method(parties.rotate)


class Users(Resource):
    """Users of the node."""

    list = method(people.users)
    all = every(people.users)
    add = method(people.add)
    change = method(people.change)
    delete = method(people.remove)


class Tokens(Resource):
    """The own tokens."""

    list = method(people.tokens)
    all = every(people.tokens)
    new = method(people.token)
    revoke = method(people.revoke)


class Me(Resource):
    """Who is asking."""

    show = method(people.me)
    login = method(people.login)
    logout = method(people.logout)
    password = method(people.password)


class Components(Resource):
    """The catalogue, and which packages of others are approved."""

    list = method(node.components)
    get = method(node.component)
    approve = method(node.approve)
    revoke = method(node.revoke)


class Settings(Resource):
    """The node's settings."""

    list = method(node.settings)


class Audit(Resource):
    """The audit log."""

    list = method(node.audit)
    all = every(node.audit)


class Ledger(Resource):
    """The leakage ledger."""

    list = method(node.ledger)
    all = every(node.ledger)


class Node(Resource):
    """The node itself."""

    status = method(node.status)
    version = method(node.version)
    ready = method(node.ready)
    selftest = method(node.selftest)
    schemas = method(node.schemas)
    schema = method(node.schema)


class Resources:
    """Everything that a client offers."""

    def __init__(self: Any) -> None:
        client: Runner = self
        self.data = Data(client)
        self.jobs = Jobs(client)
        self.models = Models(client)
        self.agreements = Agreements(client)
        self.services = Services(client)
        self.parties = Parties(client)
        self.users = Users(client)
        self.tokens = Tokens(client)
        self.me = Me(client)
        self.components = Components(client)
        self.settings = Settings(client)
        self.audit = Audit(client)
        self.ledger = Ledger(client)
        self.node = Node(client)
