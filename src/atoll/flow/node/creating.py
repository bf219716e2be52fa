"""Makes a node: keys, settings, database, and the first administrator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from atoll.channel.identity import (
    fingerprint,
    init_party,
    install_certificate,
    load_party,
    request_certificate,
)
from atoll.channel.identity.certificates import Kind
from atoll.channel.identity.files import SECRET, write_atomic
from atoll.core.errors import UserError
from atoll.flow.access.service import Access
from atoll.flow.node.configuration import load, sections
from atoll.flow.node.doctor import database_url
from atoll.flow.node.folder import NodeFolder
from atoll.flow.store import Database


@dataclass(frozen=True)
class Made:
    """What was made: shown once. ``password`` is that of ``admin``, None where users exist."""

    party: str
    folder: Path
    fingerprint: str
    password: str | None


def create(
    root: Path, party: str, *, kind: Kind = "p256", settings: dict[str, str] | None = None
) -> Made:
    """Make a node with an authority of its own.

    Errors: ATL-PTY-001 there is one already, ATL-NAM-001, ATL-SET-010 and 011, those of the
    database.
    """
    load(flags=settings or {})
    init_party(root, party, kind)
    return _finish(root, settings or {})


def request(root: Path, party: str, *, kind: Kind = "p256") -> bytes:
    """Make a node's key and return a signing request (PEM) for the company's authority."""
    return request_certificate(root, party, kind)


def install(
    root: Path, party: str, chain: bytes, authority: bytes, settings: dict[str, str] | None = None
) -> Made:
    """Make the node of a folder whose request was signed. Errors: those of the certificates."""
    load(flags=settings or {})
    install_certificate(root, party, chain, authority)
    return _finish(root, settings or {})


def _finish(root: Path, settings: dict[str, str]) -> Made:
    folder = NodeFolder(root)
    folder.make()
    if not folder.settings.exists():
        write_atomic(folder.settings, template(settings).encode(), SECRET)
    configuration = load(root)
    with Database.open(database_url(folder, configuration)) as database:
        password = Access(database).bootstrap()
    identity = load_party(root)
    return Made(identity.party, root, fingerprint(identity.ca), password)


def template(chosen: dict[str, str]) -> str:
    """Return a settings file with every key, its meaning and its default, and what was chosen."""
    lines = [
        "# The settings of this node. A line that begins with # shows a default.",
        "# atoll config explain KEY shows where a value comes from.",
    ]
    found = load(environment={}, flags=chosen)
    for name, section in sections().items():
        lines += ["", f"[{name}]"]
        for key in section.model_fields:
            entry = found.explain(f"{name}.{key}")
            mark = "" if entry.key in chosen else "# "
            lines += [f"# {entry.description}", f"{mark}{key} = {_toml(entry.value)}"]
    return "\n".join(lines) + "\n"


_PLAIN = re.compile(r"[ -~]*")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    text = str(value)
    if not _PLAIN.fullmatch(text):
        raise UserError("ATL-SET-011", "a setting holds characters that a file cannot", place=text)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
