"""What parties say to each other after the last step."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.core.message import Message, text

CERTIFICATE_BYTES = 64 << 10


@dataclass(frozen=True)
class Finished(Message, kind="flow.finished", version=1):
    """The sender has ended its last step and is about to publish its outputs."""

    plan: str = text(64, opaque="a digest of what every party holds")
