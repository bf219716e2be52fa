"""The party folder: made once, read often, changed by ``trust``, ``renew`` and what peers show."""

from __future__ import annotations

import json
import re
from dataclasses import replace as with_fields
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from atoll.channel.identity import certificates
from atoll.channel.identity.certificates import Kind, Newest, PrivateKey
from atoll.channel.identity.files import SECRET, read_secret, write_atomic
from atoll.channel.identity.party import Identity, Peer
from atoll.core.errors import UserError
from atoll.core.names import party_id

MARK = "party.json"
NODE = "node.pem"
AUTHORITY_KEY = "ca.key.pem"
WAITING = "waiting.key.pem"
FORMER = ".former"
VERSION = 1
# People replace an authority rarely; which keys ended under older ones than these is forgotten.
FORMER_MOST = 8
_KEY = re.compile(r"[0-9a-f]{64}")
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
    write_atomic(folder / AUTHORITY_KEY, certificates.key_pem(ca_key), SECRET)
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


def renew(folder: Path, *, rotate: bool = True, now: datetime | None = None) -> Identity:
    """Issue a new node key and certificate by the party's own authority; partners need do nothing.

    Where the key is not to ``rotate`` it stays, with a further certificate. Errors: ATL-PTY-002 no
    party here, or its authority is the company's.
    """
    identity = load_party(folder)
    ca_key = _key(folder, AUTHORITY_KEY)
    key = identity.key
    if rotate:
        key = certificates.new_key(certificates.key_kind(key))
    ca = certificates.read_ca(identity.ca)
    before = certificates.read_chain(identity.certificate)[0].not_valid_before_utc
    moment = now or certificates.present()
    node = certificates.make_node(identity.party, key.public_key(), ca, ca_key, moment, before)
    _write_node(folder, key, certificates.pem(node))
    return load_party(folder)


def keep_current(folder: Path, *, now: datetime | None = None) -> Identity:
    """Load a party whose node issues itself a further certificate, for the same key, in time.

    One by a company's authority stays as it is. Errors: those of ``load_party``.
    """
    identity = load_party(folder)
    moment = now or certificates.present()
    leaf = certificates.read_chain(identity.certificate)[0]
    if not identity.renews or leaf.not_valid_after_utc - moment > certificates.RENEW_LEFT:
        return identity
    end = certificates.read_ca(identity.ca).not_valid_after_utc
    if leaf.not_valid_after_utc >= end or moment >= end:
        return identity
    return renew(folder, rotate=False, now=moment)


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
    renews = (folder / AUTHORITY_KEY).exists()
    return Identity(party, chain, _read(folder / "ca.cert.pem"), key, peers, renews)


def export_ca(folder: Path) -> bytes:
    """Return the authority (PEM) that partners pin for this party. Errors: ATL-PTY-002."""
    return load_party(folder).ca


def trust(
    folder: Path,
    party: str,
    ca: bytes,
    address: str | None = None,
    *,
    offered: str | None = None,
    replace: bool = False,
) -> Peer:
    """Pin an authority (PEM) for a partner, and remember where the partner listens.

    ``offered`` is what the partner says itself: kept, and not dialled. Which key the same authority
    certified last stays known. Compare the fingerprint by telephone first.

    Errors: ATL-PTY-003 the authority is pinned for another party or is this party's own,
    ATL-PTY-004 another one is pinned and ``replace`` is not stated, ATL-PTY-005 not an authority,
    ATL-PTY-014 not an address.
    """
    identity = load_party(folder)
    name = party_id(party)
    authority = certificates.read_ca(ca)
    for stated in (address, offered):
        check_address(stated, name)
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
    if known is not None:
        _remember(folder, known)
    newest = _newest_seen(folder, name, authority)
    offered = None if offered == address else offered
    return _pin(folder, Peer(name, certificates.pem(authority), address, offered, newest))


def confirm(folder: Path, party: str, address: str) -> Peer:
    """Have a partner dialled at an address that a person has stated; what it offered is forgotten.

    Errors: ATL-PTY-012 not trusted, ATL-PTY-014 not an address.
    """
    peer = load_party(folder).peer(party)
    check_address(address, party)
    return _pin(folder, with_fields(peer, address=address, offered=None))


def note_newest(folder: Path, party: str, shown: Newest) -> Peer:
    """Keep which certificate of a partner is the newest; an older one changes nothing.

    Errors: ATL-PTY-012 not trusted (any more).
    """
    peer = load_party(folder).peer(party)
    if peer.newest is not None and shown.issued <= peer.newest.issued:
        return peer
    return _pin(folder, with_fields(peer, newest=shown))


def _pin(folder: Path, peer: Peer) -> Peer:
    pins = folder / "peers"
    pins.mkdir(mode=0o700, exist_ok=True)
    record = {
        "version": VERSION,
        "party": peer.party,
        "address": peer.address,
        "offered": peer.offered,
        **_authority(peer),
    }
    write_atomic(pins / f"{peer.party}.json", json.dumps(record, indent=1).encode() + b"\n")
    return peer


def _newest_seen(folder: Path, party: str, authority: x509.Certificate) -> Newest | None:
    """Return what was known of a party's keys under this authority."""
    for peer in _former(folder, party):
        if certificates.same_authority(certificates.read_ca(peer.ca), authority):
            return peer.newest
    return None


def _former(folder: Path, party: str) -> list[Peer]:
    """Return what is kept of a party's keys by authority, the one that was pinned last first."""
    path = _former_file(folder, party)
    if not path.exists():
        return []
    record = _json(path)
    # A file of before holds the one pin that was withdrawn.
    entries = record.get("authorities", [record])
    if record.get("party") != party or not isinstance(entries, list):
        raise _damaged(path)
    found = []
    for entry in entries:
        match entry:
            case {"ca": str(ca), "newest": value}:
                newest, damaged = _newest(value)
            case _:
                ca, newest, damaged = "", None, True
        if damaged:
            raise _damaged(path)
        certificates.read_ca(ca.encode())
        found.append(Peer(party, ca.encode(), newest=newest))
    return found


def _remember(folder: Path, peer: Peer) -> None:
    """Keep which key of a party is the newest under the authority that is pinned now."""
    if peer.newest is None:
        return
    authority = certificates.read_ca(peer.ca)
    others = [
        former
        for former in _former(folder, peer.party)
        if not certificates.same_authority(certificates.read_ca(former.ca), authority)
    ]
    kept = [_authority(one) for one in [peer, *others][:FORMER_MOST]]
    record = {"version": VERSION, "party": peer.party, "authorities": kept}
    path = _former_file(folder, peer.party)
    write_atomic(path, json.dumps(record, indent=1).encode() + b"\n")


def _authority(peer: Peer) -> dict[str, Any]:
    seen = peer.newest
    newest = None if seen is None else {"issued": seen.issued, "key": seen.key}
    return {"ca": peer.ca.decode(), "newest": newest}


def _former_file(folder: Path, party: str) -> Path:
    return folder / "peers" / f"{party}.json{FORMER}"


def distrust(folder: Path, party: str) -> None:
    """Forget a partner but for which of its keys is the newest, should it become one again."""
    path = folder / "peers" / f"{party}.json"
    if path.exists():
        _remember(folder, _peer(path))
        path.unlink()


def _refuse_change(known: Peer, ca: bytes) -> None:
    if certificates.read_ca(known.ca) != certificates.read_ca(ca):
        raise UserError(
            "ATL-PTY-004",
            "another authority is pinned for this party",
            party=known.party,
            hint="if the partner confirms the new fingerprint, trust it with replace",
        )


def check_address(text: str | None, party: str) -> None:
    """Check the form of an address, if there is one. Errors: ATL-PTY-014."""
    match = None if text is None else _ADDRESS.fullmatch(text)
    if text is not None and not (match and 0 < int(match[2]) < 1 << 16):
        raise UserError("ATL-PTY-014", "an address is host:port", party=party)


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
    party, ca = record.get("party"), record.get("ca")
    address, offered = record.get("address"), record.get("offered")
    newest, damaged = _newest(record.get("newest"))
    if party != path.stem or not isinstance(ca, str) or damaged:
        raise _damaged(path)
    if not isinstance(address, str | None) or not isinstance(offered, str | None):
        raise _damaged(path)
    certificates.read_ca(ca.encode())
    return Peer(party_id(party), ca.encode(), address, offered, newest)


def _damaged(path: Path) -> UserError:
    return UserError("ATL-PTY-002", "a pinned peer is damaged", place=str(path))


def _newest(value: object) -> tuple[Newest | None, bool]:
    """Return what a pin holds of the newest certificate, and whether it is damaged."""
    if value is None:
        return None, False
    match value:
        case {"issued": int(issued), "key": str(key)} if _KEY.fullmatch(key):
            return Newest(issued, key), False
    return None, True
