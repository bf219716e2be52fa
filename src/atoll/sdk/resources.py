"""What a blocking client offers, one line a call; the calls themselves are in ``calls``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from atoll.flow.api import views
from atoll.jobs.definition import Job as Definition
from atoll.sdk import flows
from atoll.sdk.calls import agreements, data, jobs, models, node, parties, people
from atoll.sdk.jobs import Job
from atoll.sdk.twins import kept, paged
from atoll.sdk.wire import Call

if TYPE_CHECKING:
    from atoll.sdk.client import Client

P = ParamSpec("P")
T = TypeVar("T")


class Resource:
    """A part of the API."""

    def __init__(self, client: Client) -> None:
        self._client = client


def method(build: Callable[P, Call[T]]) -> Callable[Concatenate[Resource, P], T]:
    """Return the method that sends a call and returns its result."""

    def call(self: Resource, /, *args: P.args, **named: P.kwargs) -> T:
        return self._client.send(build(*args, **named))

    return kept(call, build)


def handle(build: Callable[P, Call[views.JobView]]) -> Callable[Concatenate[Resource, P], Job]:
    """Return the method that sends a call and returns a handle of the job that it tells."""

    def call(self: Resource, /, *args: P.args, **named: P.kwargs) -> Job:
        return Job(self._client, self._client.send(build(*args, **named)))

    return kept(call, build)


def every(build: Callable[P, Call[Any]]) -> Callable[Concatenate[Resource, P], Iterator[Any]]:
    """Return the method that gives the items of all pages of a list, one after the other."""

    def call(self: Resource, /, *args: P.args, **named: P.kwargs) -> Iterator[Any]:
        return self._client.iterate(flows.pages(paged(build, *args, **named)))

    return kept(call, build)


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
    revoke = method(data.revoke)


class Models(Resource):
    """Models: this party's parts."""

    list = method(models.listing)
    all = every(models.listing)
    get = method(models.show)
    stage = method(models.stage)
    bind = method(models.bind)
    import_ = method(models.import_)
    migrate = method(models.migrate)
    _predict_job = method(models.predict_job)
    _agreement_job = method(models.agreement_job)

    def export(self, model: str, version: int, file: str | Path) -> int:
        """Save a signed archive of this party's part; return the number of bytes."""
        return self._client.run(flows.download(models.exported(model, version), Path(file)))

    def predict_job(self, model: str, version: int, tables: dict[str, str]) -> Definition:
        """Return the job that scores tables (by party) with a model, to be submitted."""
        return Definition.model_validate(self._predict_job(model, version, tables).job)

    def agreement_job(
        self, model: str, version: int, tables: dict[str, str], **terms: Any
    ) -> Definition:
        """Return the job that proposes a standing agreement on scores of single rows.

        ``terms`` are ``per_day``, ``most``, ``until``, and perhaps ``columns`` and ``id``.
        """
        found = self._agreement_job(model, version, tables, **terms)
        return Definition.model_validate(found.job)


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
    accept = method(parties.accept)
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
