"""What the API gets at its start."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

PREFIX = "/api/v1"
BODY_BYTES = 8 << 20


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class ApiSettings:
    """Address, limits and habits of the API.

    ``body_bytes`` bounds a JSON body, ``upload_bytes`` and ``archive_bytes`` the streamed ones;
    a body has ``body_seconds`` (streamed: ``upload_seconds``) to arrive, with no more than
    ``stall_seconds`` between two pieces, an answer ``request_seconds`` to begin; of one that waits
    to be taken, all or ``protocol.TAKEN_BYTES`` is taken each ``stall_seconds``.
    ``watchers`` and ``askers`` are how many wait at once for events, and for answers under standing
    agreements, ``lookers`` how many files are looked at, ``downloaders`` of how many downloads a
    piece is made. Of one user, ``user_threads`` requests are worked on, ``user_looks`` files looked
    at, ``user_bodies`` large bodies and ``user_uploads`` streamed ones taken, ``user_downloads``
    sent at once, and half of the ``connections`` answered; ``user_changes`` requests that the audit
    log notes are taken in an hour. Without ``authentication`` everyone is administrator: for
    loopback only. With ``proxied`` a proxy adds TLS, so that browsers come by HTTPS as they do to a
    certificate of our own; ``proxies`` are the addresses and networks of proxies that state truly
    who asks.
    """

    host: str = "127.0.0.1"
    port: int = 8090
    certificate: Path | None = None
    key: Path | None = None
    body_bytes: int = BODY_BYTES
    upload_bytes: int = 16 << 30
    archive_bytes: int = 512 << 20
    body_seconds: float = 30.0
    upload_seconds: float = 6 * 3600.0
    stall_seconds: float = 30.0
    request_seconds: float = 60.0
    header_seconds: float = 10.0
    wait_seconds: float = 30.0
    drain_seconds: float = 10.0
    connections: int = 512
    watchers: int = 64
    askers: int = 256
    keepers: int = 16
    lookers: int = 16
    downloaders: int = 16
    user_threads: int = 16
    user_looks: int = 4
    user_bodies: int = 4
    user_uploads: int = 4
    user_downloads: int = 4
    user_changes: int = 3600
    authentication: bool = True
    proxied: bool = False
    proxies: tuple[str, ...] = ()
    documentation: bool = False

    @property
    def secure(self) -> bool:
        """Whether browsers come by HTTPS: their cookies then never go in the clear."""
        return self.certificate is not None or self.proxied
