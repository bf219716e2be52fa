"""Calls about partners."""

from __future__ import annotations

from atoll.flow.api import views
from atoll.sdk.wire import Call, Request, delete, get, given, path, post, secret


def listing(*, limit: int | None = None, after: str | None = None) -> Call[views.PartyPage]:
    """List partners by name, a page at a time."""
    return get(views.PartyPage, "parties", limit=limit, after=after)


def add(
    party: str, authority: str, address: str | None = None, *, key: str | None = None
) -> Call[views.PartyView]:
    """Trust a partner's authority (PEM)."""
    body = given(party=party, authority=authority, address=address)
    return post(views.PartyView, "parties", body=body, key=key)


def revoke(party: str) -> Call[None]:
    """Withdraw the trust in a partner; its open codes end, too."""
    return delete("parties", party)


def invite(party: str, *, key: str | None = None) -> Call[views.Invitation]:
    """Make a one-time code for a partner; it is shown once, also where the ``key`` is repeated."""
    return secret(views.Invitation, "parties", "invitations", body={"party": party}, key=key)


def invitations(
    *, limit: int | None = None, after: str | None = None
) -> Call[views.InvitationPage]:
    """List the codes that may still be used, a page at a time."""
    return get(views.InvitationPage, "parties", "invitations", limit=limit, after=after)


def withdraw(invitation: str) -> Call[None]:
    """Withdraw the code of this id, which was not used yet."""
    return delete("parties", "invitations", invitation)


def accept(
    code: str, address: str | None = None, *, key: str | None = None
) -> Call[views.PartyView]:
    """Use a partner's one-time code; ``address`` is where you know its node to listen."""
    body = given(code=code, address=address)
    return post(views.PartyView, "parties", "accept", body=body, key=key)


def confirm(party: str, address: str) -> Call[views.PartyView]:
    """Have a partner dialled at this address."""
    return Call(
        Request("PUT", path("parties", party, "address"), body={"address": address}),
        views.PartyView,
    )


def ping(party: str) -> Call[views.Ping]:
    """Ask a partner's node for a sign of life."""
    return post(views.Ping, "parties", party, "ping")


def rotate(*, key: str | None = None) -> Call[views.Rotation]:
    """Give the node a new key and certificate."""
    return post(views.Rotation, "parties", "rotate", key=key)
