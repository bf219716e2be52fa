"""What parties say to each other before the first step and after the last."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.core.message import Message, blob, text
from atoll.jobs.approval import DOCUMENT_BYTES, SIGNATURE_BYTES

DECLARATION_BYTES = 8 << 20
CERTIFICATE_BYTES = 64 << 10


@dataclass(frozen=True)
class Declaration(Message, kind="flow.declaration", version=1):
    """The digests of the job's parts and of the code, the sender's tables and certificate."""

    job: bytes = blob(1 << 12, low=1, opaque="digests of what every party holds")
    components: bytes = blob(1 << 16, low=1, opaque="names, versions and digests of public code")
    tables: bytes = blob(
        DECLARATION_BYTES,
        low=1,
        reveals="the name, digest, row count, column names and id rule of each table (in bytes)",
    )
    certificate: bytes = blob(CERTIFICATE_BYTES, low=1, opaque="a public certificate")


@dataclass(frozen=True)
class PlanDigest(Message, kind="flow.plan", version=1):
    """The digest of the sender's plan and of each of its parts."""

    digest: str = text(64, opaque="a digest of what every party holds")
    parts: bytes = blob(1 << 12, low=1, opaque="digests of what every party holds")


@dataclass(frozen=True)
class SignedApproval(Message, kind="flow.approval", version=1):
    """An approval as it was signed, and the signature."""

    document: bytes = blob(DOCUMENT_BYTES, low=1, opaque="the approval of a plan that both hold")
    signature: bytes = blob(SIGNATURE_BYTES, low=1, opaque="a signature")


@dataclass(frozen=True)
class Finished(Message, kind="flow.finished", version=1):
    """The sender has ended its last step and is about to publish its outputs."""

    plan: str = text(64, opaque="a digest of what every party holds")
