"""Approvals: a party's signature under a plan, for so many runs, until a moment.

The signed bytes are the canonical ``["atoll/approval/v1", {…}]``. The plan's digest stands for
everything that PROTOCOLS 2 lists; a change in any of it is another digest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import FailFast, Field, StrictBytes, StrictInt, StrictStr, ValidationError

from atoll.core import codec
from atoll.core.errors import AtollError, PeerError, UserError
from atoll.core.names import party_id, roles_text
from atoll.core.strict import WireValue, read, reason
from atoll.jobs.errors import DeniedError
from atoll.jobs.plan import Plan

TYPE = "atoll/approval/v1"
NONCE_BYTES = 32
DOCUMENT_BYTES = 1 << 16
SIGNATURE_BYTES = 128

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True)
class Approval(WireValue):
    """What one party agrees to. ``expires`` is in seconds since 1970; ``keys`` maps each party to
    the SHA-256 of its public key.
    """

    job: StrictStr
    plan: StrictStr
    nonce: Annotated[StrictBytes, Field(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    expires: StrictInt
    runs: StrictInt
    approver: StrictStr
    role: StrictStr
    keys: Annotated[dict[str, StrictStr], FailFast()]

    def encode(self) -> bytes:
        """Return the bytes that are signed."""
        return codec.encode([TYPE, asdict(self)])

    def to_line(self) -> dict[str, Any]:
        """Return what a ledger keeps of it: all but the keys, in plain types."""
        line = {name: value for name, value in asdict(self).items() if name != "keys"}
        return line | {"nonce": self.nonce.hex()}

    @classmethod
    def decode(cls, data: bytes) -> Approval:
        """Read the signed bytes. Errors: ATL-PLN-002 if they are not an approval."""
        try:
            value = codec.decode(data, limit=DOCUMENT_BYTES)
        except AtollError as error:
            raise _bad("it is not canonical") from error
        if type(value) is not list or len(value) != 2 or value[0] != TYPE:
            raise _bad("it is of another type")
        try:
            return read(cls, value[1])
        except ValidationError as error:
            raise _bad(reason(error)) from error


def _bad(reason: str, party: str | None = None) -> PeerError:
    return PeerError("ATL-PLN-002", f"the approval does not count: {reason}", party=party)


def make(plan: Plan, approver: str, *, nonce: bytes, expires: int, runs: int = 1) -> Approval:
    """Write the approval of ``plan`` by ``approver``, not yet signed. Errors: ATL-PLN-003."""
    if runs < 1 or len(nonce) != NONCE_BYTES:
        raise UserError("ATL-PLN-003", "an approval is for at least one run, with a whole nonce")
    return Approval(
        job=plan.job.digest(),
        plan=plan.digest(),
        nonce=nonce,
        expires=expires,
        runs=runs,
        approver=party_id(approver),
        role=roles_text(plan.job.parties[approver]),
        keys=dict(plan.certificates),
    )


def sign(document: bytes, key: PrivateKey) -> bytes:
    """Sign bytes with a party's P-256 (ECDSA, SHA-256) or Ed25519 key."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(document)
    return key.sign(document, ec.ECDSA(hashes.SHA256()))


def check_signature(document: bytes, signature: bytes, key: PublicKey, party: str) -> None:
    """Check a signature by a party's public key. Errors: ATL-PLN-002."""
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, document)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, document, ec.ECDSA(hashes.SHA256()))
        else:
            _refuse_key(party)
    except InvalidSignature as error:
        raise _bad("its signature is not by the party's key", party) from error


def _refuse_key(party: str) -> NoReturn:
    raise _bad("the party's key is neither P-256 nor Ed25519", party)


def check(approval: Approval, plan: Plan, approver: str, *, now: float) -> None:
    """Check that an approval is this party's, for this plan, and still holds at ``now``.

    Errors: ATL-PLN-002 another job, plan, party, role or key; ATL-PLN-003 expired.
    """
    roles = plan.job.parties.get(approver, ())
    if approval.approver != approver or not roles or approval.role != roles_text(roles):
        raise _bad("it names another party or role", approver)
    if approval.plan != plan.digest() or approval.job != plan.job.digest():
        raise _bad("it is for another plan", approver)
    if approval.keys != plan.certificates:
        raise _bad("it names other public keys", approver)
    if approval.expires <= now or approval.runs < 1:
        raise DeniedError(
            "ATL-PLN-003",
            "the approval has expired",
            party=approver,
            hint="approve the plan again; check the clocks of both machines",
        )


def key_fingerprint(key: PublicKey) -> str:
    """Return the SHA-256 of a public key (DER, SubjectPublicKeyInfo), in hexadecimal."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()
