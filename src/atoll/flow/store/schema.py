"""The tables of a node's database, as SQLAlchemy Core tables.

Times are float seconds since 1970; JSON is text. Names compare byte by byte on every database, so
MariaDB gets a binary collation. Long texts stand last in their row: SQLite then reads a page of a
list without walking past them. The indexes serve keyset pages, not single columns.

The schema changes only by a migration (``migrations/versions``); a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects.mysql import DOUBLE, LONGTEXT
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# MariaDB's own words: InnoDB for transactions, and a collation without case, accents or padding.
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}

JOB = 64  # a job id, and our own ids of grants, tokens and invitations
NAME = 128  # parties, steps, names that people give
DIGEST = 128
WORD = 32  # states, kinds, actions
PATH = 1024


def long_text() -> TypeEngine[Any]:
    """Return the type of a text of any length."""
    return Text().with_variant(LONGTEXT(), "mysql", "mariadb")


def double() -> TypeEngine[Any]:
    """Return the type of a 64-bit float."""
    return Double().with_variant(DOUBLE(asdecimal=False), "mysql", "mariadb")


def big() -> TypeEngine[Any]:
    """Return the type of a 64-bit integer."""
    return BigInteger().with_variant(Integer(), "sqlite")


def _table(name: str, *parts: Any) -> Table:
    return Table(name, metadata, *parts, **OPTIONS)


def _job(**options: Any) -> Column[Any]:
    return Column("job", String(JOB), ForeignKey("jobs.id", ondelete="CASCADE"), **options)


def _word(name: str, length: int = NAME, **options: Any) -> Column[Any]:
    options.setdefault("nullable", False)
    return Column(name, String(length), **options)


def _text(name: str, **options: Any) -> Column[Any]:
    return Column(name, long_text(), **options)


def _time(name: str, **options: Any) -> Column[Any]:
    return Column(name, double(), **options)


def _count(name: str, **options: Any) -> Column[Any]:
    options.setdefault("nullable", False)
    options.setdefault("default", 0)
    return Column(name, big(), **options)


def _flag(name: str) -> Column[Any]:
    return Column(name, Boolean(create_constraint=False), nullable=False, default=False)


def _chain(name: str, *parts: Any) -> Table:
    """Make a hash-chained table: numbers without gaps, each row with the hash before it."""
    return _table(
        name,
        Column("number", big(), primary_key=True, autoincrement=False),
        _time("time", nullable=False),
        *parts,
        _word("previous", DIGEST),
        _word("hash", DIGEST),
    )


meta = _table("meta", _word("name", primary_key=True), _text("value", nullable=False))

jobs = _table(
    "jobs",
    _word("id", JOB, primary_key=True),
    _word("name", 256),
    _word("initiator"),
    _word("role", WORD, nullable=True),
    _word("owner", nullable=True),
    _word("state", WORD),
    _word("reason", 512, nullable=True),
    _word("code", WORD, nullable=True),
    Column("priority", Integer, nullable=False, default=0),
    _word("plan_digest", DIGEST, nullable=True),
    _word("idempotency_key", 256, nullable=True),
    _time("created", nullable=False),
    _time("updated", nullable=False),
    _time("started"),
    _time("ended"),
    _count("bytes_sent"),
    _count("bytes_received"),
    _text("tags", nullable=False),
    _text("notes"),
    _text("job", nullable=False),
    _text("plan"),
    _text("machine"),
    # With the name, so that looking for a part of it reads no row that does not match.
    Index(None, "created", "id", "name"),
    Index(None, "state", "created", "id"),
    Index(None, "idempotency_key", unique=True),
    Index(None, "ended"),
)

job_tags = _table(
    "job_tags",
    _job(primary_key=True),
    _word("tag", primary_key=True),
    Index(None, "tag", "job"),
)

job_parties = _table(
    "job_parties",
    _job(primary_key=True),
    _word("party", primary_key=True),
    Index(None, "party", "job"),
)

tasks = _table(
    "tasks",
    _job(primary_key=True),
    _word("step", primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    _word("state", WORD),
    _word("worker", nullable=True),
    _time("lease"),
    _time("started"),
    _time("ended"),
    _word("code", WORD, nullable=True),
    _word("phase", nullable=True),
    _text("message"),
    _text("hint"),
    _time("seconds"),
    _time("cpu_seconds"),
    Column("peak_memory", big()),
    Index(None, "state", "lease"),
)

events = _table(
    "events",
    _job(primary_key=True),
    Column("number", big(), primary_key=True, autoincrement=False),
    _time("time", nullable=False),
    _word("kind", 64),
    _word("step", nullable=True),
    Column("attempt", Integer),
    _text("data", nullable=False),
)

metrics = _table(
    "metrics",
    _job(primary_key=True),
    _word("step", primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    _word("name", primary_key=True),
    Column("number", big(), primary_key=True, autoincrement=False),
    _time("value"),
    _time("time", nullable=False),
)

artifacts = _table(
    "artifacts",
    _job(primary_key=True),
    _word("step", primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    _word("name", primary_key=True),
    _word("kind", 64),
    _word("digest", DIGEST),
    _count("bytes"),
    Column("rows", big()),
    _flag("published"),
    _time("created", nullable=False),
    Index(None, "digest"),
)

traffic = _table(
    "traffic",
    _job(primary_key=True),
    _word("step", primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    _word("peer", 64, primary_key=True),
    _word("task", primary_key=True),
    _word("tag", primary_key=True),
    _count("bytes_sent"),
    _count("bytes_received"),
    _count("messages_sent"),
    _count("messages_received"),
    _count("rounds"),
)

data = _table(
    "data",
    _word("name", primary_key=True),
    _word("path", PATH),
    _word("format", WORD),
    _word("digest", DIGEST),
    _word("id_column", 256, nullable=True),
    _word("label", 256, nullable=True),
    _count("rows"),
    _count("bytes"),
    _word("owner", nullable=True),
    _time("created", nullable=False),
    _text("description"),
    _text("columns", nullable=False),
    Index(None, "digest"),
)

grants = _table(
    "grants",
    _word("id", JOB, primary_key=True),
    _word("data"),
    _text("partners", nullable=False),
    _text("columns", nullable=False),
    _text("components", nullable=False),
    _text("roles", nullable=False),
    _text("limits", nullable=False),
    Column("minimum_intersection", big()),
    _flag("automatic"),
    _time("expires"),
    _word("created_by", nullable=True),
    _time("created", nullable=False),
    _time("revoked"),
    Index(None, "data", "created"),
)

caps = _table(
    "caps",
    _word("data", primary_key=True),
    _word("partner", primary_key=True),
    _word("changed_by", nullable=True),
    _time("changed", nullable=False),
    _text("caps", nullable=False),
)

approvals = _table(
    "approvals",
    _word("job", JOB, primary_key=True),
    _word("plan_digest", DIGEST, primary_key=True),
    _word("decision", WORD),
    _word("by", nullable=True),
    _text("reason"),
    _time("time", nullable=False),
    Column("run", Integer, nullable=False, server_default="1"),
)

ledger = _chain("ledger", _word("kind", 64), _text("body", nullable=False))

audit = _chain(
    "audit",
    _word("actor", 256),
    _word("action"),
    _word("target", 512),
    _word("outcome", WORD),
    _text("detail", nullable=False),
)

models = _table(
    "models",
    _word("id", primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    _word("job", JOB, nullable=True),
    _word("step", nullable=True),
    _word("role", WORD, nullable=True),
    _word("kind", 64),
    _word("digest", DIGEST),
    _word("stage", WORD),
    _word("parameters_digest", DIGEST, nullable=True),
    _time("created", nullable=False),
    _text("lineage", nullable=False),
    Index(None, "created", "id", "version"),
    Index(None, "digest"),
    Index(None, "job"),
)

services = _table(
    "services",
    _word("name", primary_key=True),
    _word("model"),
    Column("version", Integer, nullable=False),
    _time("updated", nullable=False),
)

users = _table(
    "users",
    _word("name", primary_key=True),
    _word("password", 512, nullable=True),
    _text("roles", nullable=False),
    _flag("disabled"),
    _flag("must_change"),
    Column("failures", Integer, nullable=False, default=0),
    _time("locked_until"),
    _time("created", nullable=False),
)

tokens = _table(
    "tokens",
    _word("id", JOB, primary_key=True),
    _word("name", 256),
    _word("user"),
    _word("hash", DIGEST),
    _text("scopes", nullable=False),
    _time("expires"),
    _time("created", nullable=False),
    _time("used"),
    Index(None, "hash", unique=True),
    Index(None, "user", "created"),
)

peers = _table(
    "peers",
    _word("party", 64, primary_key=True),
    _word("address", 512, nullable=True),
    _text("authority", nullable=False),
    _word("fingerprint", DIGEST),
    _time("added", nullable=False),
    _time("revoked"),
    _time("seen"),
)

invitations = _table(
    "invitations",
    _word("id", JOB, primary_key=True),
    _word("hash", DIGEST),
    _word("party", 64),
    _time("expires", nullable=False),
    _time("used"),
    Index(None, "hash", unique=True),
)

components = _table(
    "components",
    _word("name", primary_key=True),
    _word("distribution"),
    _word("version"),
    _word("digest", DIGEST),
    _word("approved_by", nullable=True),
    _time("time", nullable=False),
    _time("revoked"),
)

reuse = _table(
    "reuse",
    _word("key", DIGEST, primary_key=True),
    _job(nullable=False),
    _word("step"),
    Column("attempt", Integer, nullable=False),
    Index(None, "job"),
)

# What was agreed to once and is asked for many times; ``day`` is the UTC date of ``used_that_day``.
agreements = _table(
    "agreements",
    _word("id", primary_key=True),
    _job(nullable=False),
    _word("step"),
    _word("plan_digest", DIGEST),
    _word("party"),
    _word("until", WORD),
    _word("day", WORD),
    _count("used_that_day"),
    _count("used"),
    Column("session", Integer, nullable=False, default=0),
    _time("created", nullable=False),
    _time("ended"),
    _word("ended_by", 256, nullable=True),
    _text("reason"),
    _text("terms", nullable=False),
    _text("plan", nullable=False),
    Index(None, "created", "id"),
    Index(None, "job"),
)

agreement_sessions = _table(
    "agreement_sessions",
    Column(
        "agreement",
        String(NAME),
        ForeignKey("agreements.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _count("units"),
    _time("opened", nullable=False),
    _time("closed"),
    Index(None, "closed"),
)

__all__ = [
    "agreement_sessions",
    "agreements",
    "approvals",
    "artifacts",
    "audit",
    "caps",
    "components",
    "data",
    "events",
    "grants",
    "invitations",
    "job_parties",
    "job_tags",
    "jobs",
    "ledger",
    "meta",
    "metadata",
    "metrics",
    "models",
    "peers",
    "reuse",
    "services",
    "tasks",
    "tokens",
    "traffic",
    "users",
]
