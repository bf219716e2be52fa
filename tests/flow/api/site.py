"""A real node in this process with its API on a loopback port, and users of every role."""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from atoll.channel.identity import export_ca, init_party, trust
from atoll.flow.access import PERMISSIONS, ROLES, Token, local_actor, tokens, users
from atoll.flow.api.app import create_app
from atoll.flow.api.server import Server
from atoll.flow.api.settings import PREFIX, ApiSettings
from atoll.flow.node import creating
from atoll.flow.node.configuration import load
from atoll.flow.node.folder import NodeFolder
from atoll.flow.node.node import Node
from tests.flow.api.probe import PROBE

PASSWORD = "correct horse battery"
ROWS = "id,x,y\na,1,0\nb,2,1\nc,3,1\n"
LIMITS = ApiSettings(
    port=0,
    body_bytes=64 << 10,
    upload_bytes=2 << 20,
    archive_bytes=1 << 20,
    body_seconds=2.0,
    stall_seconds=1.0,
    header_seconds=1.0,
    request_seconds=20.0,
    drain_seconds=2.0,
    user_changes=1_000_000,
)
EVERYTHING = frozenset(PERMISSIONS) | PROBE.permissions.keys()
FLAGS = {"http.port": "0", "gateway.listen": "127.0.0.1:0", "workers.warm": "0"}
JOB = {
    "name": "small",
    "parties": {"bank": "guest", "shop": "host"},
    "steps": {
        "read": {
            "component": "reader",
            "parameters": {"tables": {"bank": "people", "shop": "people"}},
        },
        "match": {
            "component": "psi",
            "inputs": {"table": "read.table"},
            "parameters": {"minimum_intersection": 0},
        },
    },
}


@dataclass
class Site:
    """The node, its API, and a token for each role (and ``expired``, ``narrow``, ``other``)."""

    node: Node
    server: Server
    tokens: dict[str, str]

    def client(self, who: str | None = "administrator", **options: Any) -> httpx.Client:
        """Return a client that sends this token (None: none)."""
        headers = {} if who is None else {"Authorization": f"Bearer {self.tokens[who]}"}
        url = self.server.url + PREFIX
        return httpx.Client(base_url=url, headers=headers, timeout=30.0, verify=False, **options)

    def person(self, name: str, *roles: str) -> str:
        """Add a user with a token under a name of its own: refusals of one user are damped."""
        _add_user(self.node, name, list(roles))
        self.tokens[name] = self.token(name, EVERYTHING, 3600.0)
        return name

    def member(self, name: str, *roles: str) -> str:
        """Add a user who logs in with ``PASSWORD``; return the name."""
        access = self.node.access
        first = access.add_user(local_actor(), name, roles) or ""
        session = access.authenticate(access.login(name, first).token)
        access.change_password(session, first, PASSWORD)
        return name

    def token(self, user: str, scopes: frozenset[str], life: float) -> str:
        """Store a token for a user and return its secret."""
        secret = "atoll_" + hashlib.sha256(f"{user} {scopes} {life}".encode()).hexdigest()[:43]
        now = time.time()
        made = Token(
            id=hashlib.sha256(secret.encode()).hexdigest()[:16],
            name="test",
            user=user,
            scopes=scopes,
            session=False,
            expires=now + life,
            created=now,
        )
        hashed = tokens.digest(secret)
        assert hashed is not None
        self.node.database.write(lambda connection: tokens.add(connection, made, hashed))
        return secret

    def trace(self) -> tuple[list[str], dict[str, int]]:
        """Return what is there: files (but the database's own), and rows of each table but those
        that tell of asking (audit, tokens, sessions, meta)."""
        from atoll.flow.store.schema import metadata

        root = self.node.folder.root
        files = sorted(
            str(path.relative_to(root))
            for path in root.rglob("*")
            if path.is_file() and not path.name.startswith("atoll.db")
        )
        apart = {"audit", "tokens", "meta"}
        counted = [table for table in metadata.sorted_tables if table.name not in apart]
        rows = self.node.database.read(
            lambda c: {t.name: len(c.execute(t.select()).all()) for t in counted}
        )
        return files, rows

    def audited(self) -> int:
        """Return the number of lines in the audit log."""
        page = self.node.access.audit.page(limit=1, newest_first=True)
        return int(page.rows[0]["number"]) if page.rows else 0


def _add_user(node: Node, name: str, roles: list[str]) -> None:
    user = users.User(name, frozenset(roles), created=time.time(), password="!")
    node.database.write(lambda connection: users.insert_user(connection, user))


@contextmanager
def site(root: Path, settings: ApiSettings = LIMITS) -> Iterator[Site]:
    """Start a node ``bank`` that trusts ``shop`` (which never answers) and has a table."""
    creating.create(root / "bank", "bank")
    init_party(root / "shop", "shop")
    trust(root / "bank", "shop", export_ca(root / "shop"))
    folder = NodeFolder(root / "bank")
    (folder.data / "people.csv").write_text(ROWS)
    with Node(folder, load(folder.root, flags=FLAGS), [PROBE]) as node:
        node.start()
        with Server(create_app(node.services, settings, [PROBE]), settings) as server:
            made = Site(node, server, {})
            _people(made)
            with made.client("data owner") as owner:
                body = {"name": "people", "path": "people.csv", "label": "y"}
                owner.post("/data", json=body).raise_for_status()
            yield made


def _people(made: Site) -> None:
    everything = EVERYTHING
    for role in ROLES:
        name = role.replace(" ", "-")
        _add_user(made.node, name, [role])
        made.tokens[role] = made.token(name, everything, 3600.0)
    _add_user(made.node, "everybody", list(ROLES))
    made.tokens["everybody"] = made.token("everybody", everything, 3601.0)
    made.tokens["expired"] = made.token("everybody", everything, -1.0)
    made.tokens["narrow"] = made.token("everybody", frozenset({"job.read"}), 3602.0)
    made.tokens["unknown"] = "atoll_" + "x" * 43


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"
