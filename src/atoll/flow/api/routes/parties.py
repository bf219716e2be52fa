"""Partners: trust, invitations, signs of life, and the node's own certificate."""

from __future__ import annotations

from atoll.flow.api import views
from atoll.flow.api.common import PAGE, After, Limit, PartyName
from atoll.flow.api.guard import At, By
from atoll.flow.api.routing import Routes
from atoll.flow.api.shaping import paged, shape

ROUTES = Routes("parties")


@ROUTES.get("/parties", may="party.read")
def list_(services: At, limit: Limit = PAGE, after: After = None) -> views.PartyPage:
    """Return the partners by name."""
    return paged(views.PartyPage, services.parties.list(limit=limit, after=after))


@ROUTES.post("/parties", may="party.write", status_code=201)
def add(services: At, by: By, asked: views.PartyRequest) -> views.PartyView:
    """Trust a partner's authority."""
    found = services.parties.add(asked.party, asked.authority, asked.address, by)
    return shape(views.PartyView, found)


@ROUTES.delete("/parties/{party}", may="party.write", status_code=204)
def remove(services: At, by: By, party: PartyName) -> None:
    """Withdraw the trust in a partner; its connections end at once."""
    services.parties.remove(party, by)


@ROUTES.post("/parties/invitations", may="party.write", secret=True, status_code=201)
def invite(services: At, by: By, asked: views.InvitationRequest) -> views.Invitation:
    """Make a one-time code with which a partner's node and this one come to trust each other."""
    return shape(views.Invitation, services.parties.invite(asked.party, by))


@ROUTES.post("/parties/accept", may="party.write", status_code=201)
def accept(services: At, by: By, asked: views.AcceptRequest) -> views.PartyView:
    """Use a partner's one-time code; its node is dialled at the address that you state alone."""
    return shape(views.PartyView, services.parties.accept(asked.code, asked.address, by))


@ROUTES.put("/parties/{party}/address", may="party.write")
def confirm(services: At, by: By, party: PartyName, asked: views.AddressRequest) -> views.PartyView:
    """State where a partner is dialled: what it offers itself counts for nothing until then."""
    return shape(views.PartyView, services.parties.confirm(party, asked.address, by))


@ROUTES.post("/parties/rotate", may="party.write")
def rotate(services: At, by: By) -> views.Rotation:
    """Give this node a new key and certificate, and show them to the partners."""
    return shape(views.Rotation, services.parties.rotate(by))


@ROUTES.post("/parties/{party}/ping", may="party.write")
def ping(services: At, party: PartyName) -> views.Ping:
    """Ask a partner's node for a sign of life."""
    return shape(views.Ping, services.parties.ping(party))
