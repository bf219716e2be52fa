"""Who signs as whom in a secure sum."""

from __future__ import annotations

from typing import Protocol


class Identities(Protocol):
    """This client's signature, and the check of others'."""

    def sign(self, data: bytes) -> bytes:
        """Sign as this client (64 bytes)."""
        ...

    def verify(self, name: str, data: bytes, signature: bytes) -> bool:
        """Return whether ``name`` signed ``data``."""
        ...
