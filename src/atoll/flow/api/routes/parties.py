"""Partners: trust, invitations, signs of life, and the node's own certificate."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from atoll.flow.api import views
from atoll.flow.api.common import PAGE, After, Limit, PartyName
from atoll.flow.api.guard import At, By
from atoll.flow.api.routing import Routes
from atoll.flow.api.shaping import paged, shape

ROUTES = Routes("parties")
InvitationId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


@ROUTES.get("/parties", may="party.read")
def list_(services: At, limit: Limit = PAGE, after: After = None) -> views.PartyPage:
    """Return the partners by name."""
    return paged(views.PartyPage, services.parties.list(limit=limit, after=after))


@ROUTES.post("/parties", may="party.write", recorded=True, status_code=201)
def add(services: At, by: By, asked: views.PartyRequest) -> views.PartyView:
    """Trust a partner's authority."""
    found = services.parties.add(asked.party, asked.authority, asked.address, by)
    return shape(views.PartyView, found)


@ROUTES.delete("/parties/{party}", may="party.write", recorded=True, status_code=204)
def remove(services: At, by: By, party: PartyName) -> None:
    """Withdraw the trust in a partner; its connections and its open invitations end at once."""
    services.parties.remove(party, by)


@ROUTES.get("/parties/invitations", may="party.read")
def invitations(services: At, limit: Limit = PAGE, after: After = None) -> views.InvitationPage:
    """Return the codes that may still be used, without the codes themselves."""
    return paged(views.InvitationPage, services.parties.invitations(limit=limit, after=after))


@ROUTES.post("/parties/invitations", may="party.write", secret=True, recorded=True, status_code=201)
def invite(services: At, by: By, asked: views.InvitationRequest) -> views.Invitation:
    """Make a one-time code with which a partner's node and this one come to trust each other."""
    return shape(views.Invitation, services.parties.invite(asked.party, by))


@ROUTES.delete("/parties/invitations/{id}", may="party.write", recorded=True, status_code=204)
def withdraw(services: At, by: By, id: InvitationId) -> None:
    """Withdraw a code that was not used yet."""
    services.parties.withdraw(id, by)


@ROUTES.post("/parties/accept", may="party.write", recorded=True, status_code=201)
def accept(services: At, by: By, asked: views.AcceptRequest) -> views.PartyView:
    """Use a partner's one-time code; its node is dialled at the address that you state alone."""
    return shape(views.PartyView, services.parties.accept(asked.code, asked.address, by))


@ROUTES.put("/parties/{party}/address", may="party.write", recorded=True)
def confirm(services: At, by: By, party: PartyName, asked: views.AddressRequest) -> views.PartyView:
    """State where a partner is dialled: what it offers itself counts for nothing until then."""
    return shape(views.PartyView, services.parties.confirm(party, asked.address, by))


@ROUTES.post("/parties/rotate", may="party.write", recorded=True)
def rotate(services: At, by: By) -> views.Rotation:
    """Give this node a new key and certificate, and show them to the partners."""
    return shape(views.Rotation, services.parties.rotate(by))


@ROUTES.post("/parties/{party}/ping", may="party.write")
def ping(services: At, party: PartyName) -> views.Ping:
    """Ask a partner's node for a sign of life."""
    return shape(views.Ping, services.parties.ping(party))
