"""What a played node says of itself: the catalogue, a setting, how it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from atoll.jobs.errors import NotFoundError

DIGEST = "ab" * 32


class Components:
    """The catalogue's names."""

    def list(self) -> Any:
        return [{"name": "psi", "version": "1", "digest": DIGEST}]

    def get(self, name: str) -> Any:
        if name != "psi":
            raise NotFoundError("ATL-CMP-001", "there is no such component", place=name)
        return {"name": name, "version": "1", "digest": DIGEST, "parameters": {"type": "object"}}

    def approve(self, name: str, digest: str, actor: Any) -> Any:
        return {"name": name, "version": "1", "digest": digest, "approved": True}

    def revoke(self, name: str, digest: str, actor: Any) -> Any:
        return {"name": name, "version": "1", "digest": digest, "approved": False}


class Settings:
    """One setting."""

    def list(self) -> Any:
        return [{"key": "http.port", "value": 1, "default": 2, "source": "flag"}]


class Status:
    """A node that does well."""

    def ready(self) -> bool:
        return True

    def view(self) -> Any:
        return {"party": "bank", "jobs": {"running": 0}}

    def gauges(self) -> Mapping[str, float]:
        return {}

    def selftest(self, parties: Sequence[str], actor: Any) -> Any:
        return [{"name": "loopback job", "passed": "sick" not in parties, "seconds": 0.1}]
