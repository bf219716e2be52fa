"""Looks a node over before people do: folder, keys, settings, ports, disk, database, partners."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from atoll.channel.identity import Identity, load_party
from atoll.core.errors import AtollError
from atoll.flow.node.configuration import Configuration, load
from atoll.flow.node.folder import NodeFolder

State = Literal["ok", "warning", "failed"]
_LOW_BYTES, _TOO_LOW_BYTES = 5 << 30, 256 << 20
_WARN_DAYS = (30, 7, 1)
_REACH_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """What one check found, and what to do about it."""

    name: str
    state: State
    message: str
    hint: str | None = None


Check = Callable[[], Iterator[Finding]]


def examine(folder: NodeFolder) -> list[Finding]:
    """Run every check; one that fails does not keep the others from running."""
    found: list[Finding] = []
    configuration: Configuration | None = None
    identity: Identity | None = None
    try:
        configuration = load(folder.root)
        found.append(
            Finding("settings", "ok", f"{len(configuration.origins)} of them are not defaults")
        )
        for line in configuration.outdated:
            text = f"no setting any more, and without effect: {line}"
            found.append(Finding("settings", "warning", text, "take it out"))
    except AtollError as error:
        found.append(_failed("settings", error))
    try:
        identity = load_party(folder.root)
        found.append(Finding("keys", "ok", f"party {identity.party}, readable by this user alone"))
    except AtollError as error:
        found.append(_failed("keys", error))
    found += _folder(folder)
    found += _disk(folder)
    if identity is not None:
        found += certificates(identity)
    if configuration is not None:
        found += _ports(folder, configuration)
        found += _database(folder, configuration)
    if identity is not None:
        found += _partners(identity)
    found += _machine()
    return found


def _failed(name: str, error: AtollError) -> Finding:
    place = f" ({error.place})" if error.place else ""
    return Finding(name, "failed", f"{error.code}: {error.message}{place}", error.hint)


def _folder(folder: NodeFolder) -> Iterator[Finding]:
    try:
        mode = folder.root.stat().st_mode & 0o777
    except OSError as error:
        yield Finding(
            "folder", "failed", f"{folder.root}: {error.strerror}", "atoll init makes one"
        )
        return
    if mode & 0o077:
        hint = f"chmod 700 {folder.root}"
        yield Finding("folder", "warning", f"others may look into it (mode {mode:o})", hint)
    else:
        yield Finding("folder", "ok", f"{folder.root}, private")


def _disk(folder: NodeFolder) -> Iterator[Finding]:
    if not folder.root.is_dir():
        return
    free = shutil.disk_usage(folder.root).free
    text = f"{free / 1e9:.1f} GB free"
    if free < _TOO_LOW_BYTES:
        yield Finding("disk", "failed", text, "free space: atoll admin prune, or move artifacts")
    elif free < _LOW_BYTES:
        yield Finding("disk", "warning", text, "free space soon: atoll admin prune")
    else:
        yield Finding("disk", "ok", text)


def certificates(identity: Identity) -> Iterator[Finding]:
    """Return which certificates end within 30, 7 or 1 days, and which are fine."""
    for entry in identity.expiries():
        days = entry.days_left
        text = f"{entry.what} of {entry.party} ends on {entry.ends:%Y-%m-%d} ({days:.0f} days)"
        hint = {
            "node": "the running node renews it" if identity.renews else "have it signed again",
            "authority": "make a new authority and give it to the partners",
        }.get(entry.what, f"ask {entry.party} for its new authority")
        renewed = entry.what == "node" and identity.renews
        near = [limit for limit in _WARN_DAYS[1 if renewed else 0 :] if days <= limit]
        if days <= 0:
            yield Finding("certificate", "failed", text.replace(" ends ", " ended "), hint)
        elif near:
            yield Finding("certificate", "warning", text, hint)
        else:
            yield Finding("certificate", "ok", text)


def _ports(folder: NodeFolder, configuration: Configuration) -> Iterator[Finding]:
    running = folder.running()
    settings = configuration.settings
    wanted = [("API port", settings.http.host, settings.http.port, "http.port")]
    if settings.gateway.listen:
        at, _, number = settings.gateway.listen.rpartition(":")
        wanted.append(("partners' port", at.strip("[]"), int(number or 0), "gateway.listen"))
    for name, host, port, key in wanted:
        if running is not None:
            yield Finding(
                name, "ok", f"{host}:{port}, held by the running node (process {running})"
            )
        elif _is_free(host, port):
            yield Finding(name, "ok", f"{host}:{port} is free")
        else:
            hint = f"stop what holds it, or choose another: {key}"
            yield Finding(name, "failed", f"{host}:{port} is taken", hint)


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def database_url(folder: NodeFolder, configuration: Configuration) -> str:
    """Return the URL of the node's database."""
    return configuration.settings.database.url or f"sqlite:///{folder.database}"


def _database(folder: NodeFolder, configuration: Configuration) -> Iterator[Finding]:
    from atoll.flow.access.audit import AuditLog
    from atoll.flow.policy.ledger import DatabaseLedger
    from atoll.flow.store.database import Database

    try:
        database = Database.open_reading(database_url(folder, configuration))
    except AtollError as error:
        yield _failed("database", error)
        return
    with database:
        yield Finding("database", "ok", f"{database.dialect} at {database.place}")
        party = identity_name(folder)
        for name, verify in (
            ("audit log", AuditLog(database).verify),
            ("ledger", DatabaseLedger(database, party).verify),
        ):
            broken = verify()
            if broken is None:
                yield Finding(name, "ok", "every line follows from the one before")
            else:
                hint = "someone changed it: restore a backup, and find out who"
                yield Finding(name, "failed", f"line {broken} was changed", hint)


def identity_name(folder: NodeFolder) -> str:
    """Return the party of a folder, empty where it cannot be read."""
    try:
        return load_party(folder.root).party
    except AtollError:
        return ""


def _partners(identity: Identity) -> Iterator[Finding]:
    if not identity.peers:
        hint = "atoll party invite, or atoll party accept"
        yield Finding("partners", "warning", "no partner yet", hint)
    for peer in identity.peers.values():
        if peer.address is None:
            if peer.offered is None:
                text = f"{peer.party} has no address: it calls this node"
                yield Finding("partner", "ok", text)
            else:
                text = f"{peer.party} offers {peer.offered}, which no one has confirmed"
                hint = f"atoll party confirm {peer.party}"
                yield Finding("partner", "warning", text, hint)
            continue
        host, _, port = peer.address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _REACH_SECONDS).close()
            yield Finding("partner", "ok", f"{peer.party} listens at {peer.address}")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            hint = "is its node up, and does a firewall let this machine through?"
            yield Finding("partner", "warning", f"{peer.party} at {peer.address}: {reason}", hint)


def _machine() -> Iterator[Finding]:
    from atoll.crypto.levels import simd_level

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{os.cpu_count()} cores, {memory / 1e9:.0f} GB, kernels on {simd_level()}"
    yield Finding("machine", "ok", text)
