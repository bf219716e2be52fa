"""What can be set on a node: by section and key, with default, meaning and FATE's equivalent."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from atoll.core.limits import RETRIES


def _key(default: Any, description: str, *, fate: str = "", **bounds: Any) -> Any:
    extra: dict[str, Any] = {"fate": fate} if fate else {}
    return Field(default, description=description, json_schema_extra=extra, **bounds)


def _network(text: str) -> str:
    ip_network(text)
    return text


Network = Annotated[str, AfterValidator(_network)]


class Section(BaseModel):
    """A section of the settings; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NodeSection(Section):
    """How this node works as a whole."""

    drain_seconds: float = _key(
        10.0, "how long running tasks may go on once the node is asked to stop", ge=0, le=3600
    )


class HttpSection(Section):
    """The API for people and programs of this organisation."""

    host: str = _key("127.0.0.1", "the address that the API listens on", fate="IP")
    port: int = _key(8090, "the API's port; 0 takes any free one", ge=0, le=65535, fate="HTTP_PORT")
    certificate: str = _key("", "a PEM file: serve HTTPS with it; needed beyond loopback")
    key: str = _key("", "the PEM file of the certificate's key")
    plain: bool = _key(False, "allow plain HTTP beyond loopback, behind a proxy that adds TLS")
    proxies: tuple[Network, ...] = _key(
        (),
        "addresses or networks of proxies in front: of their requests the last X-Forwarded-For "
        "is who asks, by whom failed logins are counted",
    )
    body_bytes: int = _key(8 << 20, "the largest JSON body", ge=1024, le=1 << 30)
    upload_bytes: int = _key(16 << 30, "the largest table that may be uploaded", ge=1024)
    request_seconds: float = _key(
        60.0,
        "how long an answer may take to begin, once the request is there; uploads have six hours",
        gt=0,
        le=86400,
    )


class GatewaySection(Section):
    """The one port that faces the partners."""

    listen: str = _key(
        "0.0.0.0:9370",
        "address and port for partners; empty: only poll",
        fate="GRPC_PORT",
    )
    advertise: str = _key("", "host:port at which partners reach this node; given in invitations")
    call_seconds: float = _key(
        20.0,
        "how long a call to a partner's node may take",
        gt=0,
        le=1200,
        fate="DEFAULT_GRPC_OVERALL_TIMEOUT",
    )
    sync_seconds: float = _key(
        2.0, "how often partners of a live job are asked even if nothing changed", gt=0, le=60
    )
    silence_seconds: float = _key(30.0, "a worker's peer silent for so long is lost", gt=0, le=3600)
    heartbeat_seconds: float = _key(2.0, "how often a sign of life is sent", gt=0, le=600)
    connect_seconds: float = _key(60.0, "how long a worker tries to meet its peer", gt=0, le=3600)


class DatabaseSection(Section):
    """Where jobs, users and history are kept."""

    url: str = _key(
        "",
        "empty: SQLite in the node's folder; or postgresql+pg8000://… or mysql+pymysql://… "
        "(extras postgres, mysql); write ${NAME} for what comes from the environment",
        fate="USE_LOCAL_DATABASE, DATABASE",
    )
    connections: int = _key(
        8, "connections kept to a database server", ge=1, le=100, fate="DATABASE.max_connections"
    )


class AccessSection(Section):
    """Who may use the API."""

    enabled: bool = _key(
        True,
        "false lets everyone on loopback act as administrator; refused on any other address",
        fate="USE_AUTHENTICATION, PRIVILEGE_COMMAND_WHITELIST",
    )
    session_hours: float = _key(
        12.0, "how long a login holds, a browser's or a program's", gt=0, le=720
    )
    idle_minutes: float = _key(
        60.0, "how long a browser's session holds without a request", ge=5, le=43200
    )
    token_days: int = _key(365, "the longest life of an API token", ge=1, le=3650)


class QueueSection(Section):
    """Where waiting jobs stand."""

    rule: Literal["first_come", "fair_share", "priority"] = _key(
        "first_come", "which waiting job is next"
    )


class JobsSection(Section):
    """How jobs run."""

    as_initiator: int = _key(
        5,
        "jobs that this node has started and that run at once",
        ge=1,
        le=1000,
        fate="MAX_CONCURRENT_JOB_RUN",
    )
    as_host: int = _key(
        10,
        "jobs of partners that run here at once",
        ge=1,
        le=1000,
        fate="MAX_CONCURRENT_JOB_RUN_HOST",
    )
    step_rule: Literal["parallel", "serial", "cost_first"] = _key(
        "parallel", "which ready steps of a job start", fate="task_parallelism"
    )
    retries: int = _key(
        1,
        "further tries of a step, in each run, after network trouble or where no worker is free, "
        "for jobs submitted here; lost workers and restarted nodes cost none of them: those have "
        "five further tries in any case, within the approved runs",
        ge=0,
        le=RETRIES,
    )
    progress_seconds: float = _key(
        3600.0, "a job without any progress for so long fails", gt=0, fate="JOB_DEFAULT_TIMEOUT"
    )
    peer_seconds: float = _key(60.0, "a partner's node silent for so long is lost", gt=0, le=86400)
    waiting: int = _key(
        10_000,
        "no job can be submitted here while so many, own and partners', have not ended",
        ge=1,
        le=1_000_000,
    )
    user_open: int = _key(
        2000, "so many jobs that one user submitted here may be unfinished", ge=1, le=1_000_000
    )
    partner_open: int = _key(
        2000, "so many jobs that one partner proposed may be unfinished here", ge=1, le=1_000_000
    )
    partner_mebibytes: int = _key(
        384,
        "so many MiB of memory a partner may take by partners' jobs that are at hand: unfinished, "
        "or ended and not acknowledged; with what this node declares and plans for those that it "
        "proposed; states and ends have an eighth more",
        ge=8,
        le=1 << 20,
    )
    partner_mebibytes_per_day: int = _key(
        2048,
        "so many MiB of jobs a partner may send in 24 hours, with what this node declares and "
        "plans for them; each new one counts as 32 KiB or more; what comes with an end has an "
        "eighth more",
        ge=8,
        le=1 << 20,
    )
    partner_looks_per_hour: int = _key(
        1000,
        "so many looks at own tables and models a partner may cause in an hour by plans; of a job "
        "that it proposes those beyond 16 count",
        ge=1,
        le=1_000_000,
    )


class WorkersSection(Section):
    """The processes that compute."""

    warm: int = _key(1, "idle workers kept ready", ge=0, le=64)
    maximum: int = _key(16, "workers at once", ge=1, le=1024)
    own_percent: int = _key(
        25,
        "of them so many are kept for jobs that this node initiates, rounded down; one at least "
        "is left to partners",
        ge=0,
        le=100,
    )
    partner_percent: int = _key(
        50,
        "so many may be held by tasks of the jobs that one partner initiated, one at least",
        ge=1,
        le=100,
    )
    synthetic_percent: int = _key(
        25,
        "so many may be held by tasks of partners' jobs that need no approval "
        "(`policy.synthetic`), one at least; half of these by those of one partner",
        ge=1,
        le=100,
    )
    wait_seconds: float = _key(
        50.0,
        "how long a task waits for a worker; partners' tasks wait `gateway.connect_seconds` for it",
        gt=0,
        le=3600,
    )
    threads: int = _key(0, "threads of each worker's kernels; 0: all cores", ge=0, le=1024)
    receive_seconds: float = _key(600.0, "how long a worker waits for one message", gt=0)


class PolicySection(Section):
    """What happens to a partner's job that no grant covers."""

    default: Literal["ask", "deny"] = _key("ask", "ask: a person decides; deny: it is refused")
    own_jobs: Literal["approve", "ask"] = _key(
        "approve", "ask: a second person here approves jobs that this party submits"
    )
    runs: int = _key(
        3,
        "how often an approved job may run: the first time, then retries, reruns, and attempts of "
        "a step after one that revealed something, ended well or was lost",
        ge=1,
        le=100,
    )
    synthetic: bool = _key(
        True, "partners' small jobs over made-up tables alone (`atoll selftest`) need no approval"
    )
    synthetic_seconds: float = _key(
        60.0,
        "such a job is small if its plan takes no longer here by estimate, all runs and attempts "
        "together; a person is asked about a larger one",
        gt=0,
        le=86400,
    )
    synthetic_at_once: int = _key(
        2, "so many of them of one partner may be unfinished; about more a person is asked", ge=1
    )
    synthetic_per_day: int = _key(
        20, "so many of them each partner may have in 24 hours; about more a person is asked", ge=1
    )

    minimum_intersection: int = _key(
        0, "jobs of partners with a smaller minimum are refused", ge=0, le=1 << 40
    )


class StandingSection(Section):
    """Sessions under standing agreements."""

    idle_seconds: float = _key(
        60.0,
        "a session without a request for so long ends, and frees its worker",
        gt=0,
        le=86400,
    )
    sessions_per_day: int = _key(
        2000,
        "so many sessions an agreement may have in 24 hours: each is a row, also of a partner's",
        ge=1,
        le=1_000_000,
    )


class RetentionSection(Section):
    """What is kept, and for how long."""

    job_days: int = _key(365, "ended jobs older than this are pruned", ge=1)
    artifact_days: int = _key(30, "outputs older than this are pruned (not published models)", ge=1)
    partner_mebibytes: int = _key(
        2048,
        "of ended jobs that one partner proposed so many MiB are kept in full, the newest; of "
        "older ones what the list shows; jobs of a model or of an agreement that holds stay whole",
        ge=8,
        le=1 << 20,
    )
    log_days: int = _key(30, "logs of steps older than this are pruned", ge=1)


class DataSection(Section):
    """Tables."""

    folders: tuple[str, ...] = _key(
        (), "folders besides the node's own data/ from which tables may be registered by path"
    )
    preview_rows: int = _key(100, "the most rows that a preview shows", ge=0, le=10_000)


class LogSection(Section):
    """What the node writes."""

    level: Literal["debug", "info", "warning", "error"] = _key("info", "how much is logged")
    format: Literal["json", "text"] = _key("text", "text for people, or JSON lines")
    bytes: int = _key(
        16 << 20,
        "log/node.log starts over once it is so large; what was in it is kept as node.log.1",
        ge=4096,
        le=1 << 40,
    )
    files: int = _key(
        4, "so many earlier ones are kept (node.log.1 is the newest); 0: none", ge=0, le=99
    )


class NodeSettings(Section):
    """All settings of a node, by section. Order of precedence: flag, environment, file, default."""

    node: NodeSection = NodeSection()
    http: HttpSection = HttpSection()
    gateway: GatewaySection = GatewaySection()
    database: DatabaseSection = DatabaseSection()
    access: AccessSection = AccessSection()
    queue: QueueSection = QueueSection()
    jobs: JobsSection = JobsSection()
    workers: WorkersSection = WorkersSection()
    policy: PolicySection = PolicySection()
    standing: StandingSection = StandingSection()
    retention: RetentionSection = RetentionSection()
    data: DataSection = DataSection()
    log: LogSection = LogSection()
