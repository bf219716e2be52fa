"""Who asks, by address: what failures of logins are counted by, also behind a proxy."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from fastapi import Request

_HEADER = "x-forwarded-for"


def client_of(request: Request) -> str:
    """Return the address that asks.

    Of a trusted proxy's requests it is the last in ``X-Forwarded-For`` that is no trusted proxy's:
    what stands before it anybody may have written.
    """
    peer = request.client.host if request.client else ""
    trusted: Sequence[str] = request.app.state.settings.proxies
    if not trusted or not _among(peer, trusted):
        return peer
    hops = ",".join(request.headers.getlist(_HEADER)).split(",")
    for hop in reversed(hops):
        found = _address(hop.strip())
        if not found:
            break
        peer = found
        if not _among(found, trusted):
            break
    return peer


def _address(text: str) -> str:
    """Return an address in its usual form, empty if the text is none."""
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def _among(address: str, networks: Sequence[str]) -> bool:
    found = _address(address)
    return bool(found) and any(ip_address(found) in ip_network(one) for one in networks)
