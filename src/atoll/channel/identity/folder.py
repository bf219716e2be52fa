"""The party folder: made once, read often, changed only by ``trust`` and ``renew``."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from atoll.channel.identity import certificates
from atoll.channel.identity.certificates import Kind, PrivateKey
from atoll.channel.identity.files import SECRET, read_secret, write_atomic
from atoll.channel.identity.party import Identity, Peer
from atoll.core.errors import UserError
from atoll.core.names import party_id

MARK = "party.json"
NODE = "node.pem"
WAITING = "waiting.key.pem"
VERSION = 1
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")


def init_party(
    folder: Path, party: str, kind: Kind = "p256", *, now: datetime | None = None
) -> Identity:
    """Make a party: its own authority, and its node's key and certificate.

    Errors: ATL-NAM-001 not a party id, ATL-PTY-001 the folder holds a party already,
    ATL-PTY-013 an unknown kind of key.
    """
    name = party_id(party)
    key, ca_key = certificates.new_key(kind), certificates.new_key(kind)
    moment = now or certificates.present()
    ca = certificates.make_ca(name, ca_key, moment)
    node = certificates.make_node(name, key.public_key(), ca, ca_key, moment)
    _claim(folder)
    write_atomic(folder / "ca.key.pem", certificates.key_pem(ca_key), SECRET)
    write_atomic(folder / "ca.cert.pem", certificates.pem(ca))
    _write_node(folder, key, certificates.pem(node))
    _mark(folder, name)
    return load_party(folder)


def _claim(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / MARK).exists():
        raise UserError(
            "ATL-PTY-001",
            "the folder holds a party already",
            place=str(folder),
            hint="choose another folder; a party's keys are never overwritten",
        )


def _mark(folder: Path, party: str) -> None:
    write_atomic(folder / MARK, json.dumps({"version": VERSION, "party": party}).encode() + b"\n")


def request_certificate(folder: Path, party: str, kind: Kind = "p256") -> bytes:
    """Make a node's key and return a signing request (PEM) for the company's own authority.

    Errors: as ``init_party``. ``install_certificate`` takes the answer.
    """
    name = party_id(party)
    key = certificates.new_key(kind)
    _claim(folder)
    write_atomic(folder / WAITING, certificates.key_pem(key), SECRET)
    return certificates.make_request(name, key)


def install_certificate(
    folder: Path, party: str, chain: bytes, ca: bytes, *, now: datetime | None = None
) -> Identity:
    """Install the chain (PEM, leaf first) that the company's authority ``ca`` (PEM) issued.

    Errors: ATL-PTY-001 and 002 the folder is not waiting for one, ATL-PTY-005 not an authority,
    ATL-PTY-007 to ATL-PTY-010 the chain does not fit, ATL-PTY-011 not for this folder's key.
    """
    name = party_id(party)
    _claim(folder)
    key = _key(folder, WAITING)
    authority = certificates.read_ca(ca)
    try:
        read = certificates.read_chain(chain)
    except ValueError as error:
        raise UserError("ATL-PTY-007", "this is not a chain of certificates in PEM") from error
    certificates.check_chain(name, read, authority, now or certificates.present())
    _match(folder, key, chain)
    write_atomic(folder / "ca.cert.pem", certificates.pem(authority))
    _write_node(folder, key, b"".join(map(certificates.pem, read)))
    _mark(folder, name)
    (folder / WAITING).unlink()
    return load_party(folder)


def renew(folder: Path, *, now: datetime | None = None) -> Identity:
    """Issue a new node key and certificate by the party's own authority; partners need do nothing.

    Errors: ATL-PTY-002 no party here, or its authority is the company's.
    """
    identity = load_party(folder)
    ca_key = _key(folder, "ca.key.pem")
    key = certificates.new_key(certificates.key_kind(identity.key))
    ca = certificates.read_ca(identity.ca)
    moment = now or certificates.present()
    node = certificates.make_node(identity.party, key.public_key(), ca, ca_key, moment)
    _write_node(folder, key, certificates.pem(node))
    return load_party(folder)


def load_party(folder: Path) -> Identity:
    """Read a party folder.

    Errors: ATL-PTY-002 no party here or a damaged one, ATL-PTY-006 a key others can read,
    ATL-PTY-011 key and certificate do not belong together.
    """
    party = party_id(str(_json(folder / MARK).get("party", "")))
    key, chain = _read_node(folder)
    _match(folder, key, chain)
    peers = {}
    pins = folder / "peers"
    for path in sorted(pins.glob("*.json")) if pins.is_dir() else []:
        peer = _peer(path)
        peers[peer.party] = peer
    return Identity(party, chain, _read(folder / "ca.cert.pem"), key, peers)


def export_ca(folder: Path) -> bytes:
    """Return the authority (PEM) that partners pin for this party. Errors: ATL-PTY-002."""
    return load_party(folder).ca


def trust(
    folder: Path, party: str, ca: bytes, address: str | None = None, *, replace: bool = False
) -> Peer:
    """Pin an authority (PEM) for a partner, and remember where the partner listens.

    Compare the fingerprint by telephone first. Errors: ATL-PTY-003 the authority is pinned for
    another party or is this party's own, ATL-PTY-004 another one is pinned and ``replace`` is not
    stated, ATL-PTY-005 not an authority, ATL-PTY-014 not an address.
    """
    identity = load_party(folder)
    name = party_id(party)
    authority = certificates.read_ca(ca)
    if address is not None and not _is_address(address):
        raise UserError("ATL-PTY-014", "an address is host:port", party=name)
    taken = {peer.party: peer.ca for peer in identity.peers.values() if peer.party != name}
    for other, pinned in (taken | {identity.party: identity.ca}).items():
        if certificates.same_authority(authority, certificates.read_ca(pinned)):
            raise UserError(
                "ATL-PTY-003",
                f"this authority already certifies {other}",
                party=name,
                hint="each party needs an authority of its own, or one could pose as the other",
            )
    if name == identity.party:
        raise UserError("ATL-PTY-003", "a party does not pin itself", party=name)
    known = identity.peers.get(name)
    if known is not None and not replace:
        _refuse_change(known, ca)
        address = address or known.address
    peer = Peer(name, certificates.pem(authority), address)
    pins = folder / "peers"
    pins.mkdir(mode=0o700, exist_ok=True)
    record = {"version": VERSION, "party": name, "ca": peer.ca.decode(), "address": address}
    write_atomic(pins / f"{name}.json", json.dumps(record, indent=1).encode() + b"\n")
    return peer


def _refuse_change(known: Peer, ca: bytes) -> None:
    if certificates.read_ca(known.ca) != certificates.read_ca(ca):
        raise UserError(
            "ATL-PTY-004",
            "another authority is pinned for this party",
            party=known.party,
            hint="if the partner confirms the new fingerprint, trust it with replace",
        )


def _is_address(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match[2]) < 1 << 16


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            "ATL-PTY-002",
            "no party is in this folder, or a part of it is missing",
            place=str(path),
            hint="make one: atoll init PARTY",
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read(path))
    except ValueError as error:
        raise UserError("ATL-PTY-002", "a file is damaged", place=str(path)) from error
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise UserError("ATL-PTY-002", "a file has an unknown version", place=str(path))
    return value


def _write_node(folder: Path, key: PrivateKey, chain: bytes) -> None:
    # One file, because two cannot be replaced at once.
    write_atomic(folder / NODE, certificates.key_pem(key) + chain, SECRET)


def _read_node(folder: Path) -> tuple[PrivateKey, bytes]:
    text = _secret(folder / NODE)
    at = max(text.find(b"-----BEGIN CERTIFICATE-----"), 0)
    return certificates.read_key(text[:at]), text[at:]


def _secret(path: Path) -> bytes:
    try:
        return read_secret(path)
    except OSError as error:
        raise UserError("ATL-PTY-002", "a private key is missing", place=str(path)) from error


def _key(folder: Path, name: str) -> PrivateKey:
    return certificates.read_key(_secret(folder / name))


def _match(folder: Path, key: PrivateKey, chain: bytes) -> None:
    place = str(folder / NODE)
    try:
        leaf = certificates.read_chain(chain)[0]
    except ValueError as error:
        raise UserError("ATL-PTY-002", "the certificate is damaged", place=place) from error
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*spki) != key.public_key().public_bytes(*spki):
        raise UserError(
            "ATL-PTY-011",
            "the key and the certificate do not belong together",
            place=place,
            hint="renew the certificate",
        )


def _peer(path: Path) -> Peer:
    record = _json(path)
    party, ca, address = record.get("party"), record.get("ca"), record.get("address")
    if party != path.stem or not isinstance(ca, str) or not isinstance(address, str | None):
        raise UserError("ATL-PTY-002", "a pinned peer is damaged", place=str(path))
    certificates.read_ca(ca.encode())
    return Peer(party_id(party), ca.encode(), address)
