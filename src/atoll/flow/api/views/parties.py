"""Partners."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from atoll.flow.api.views.base import LINES, Asked, Given, Line, PartyName


class PartyRequest(Asked):
    """A partner: its authority's certificate in PEM, and where it listens, if it does."""

    party: PartyName
    authority: Annotated[str, Field(min_length=1, max_length=16384, pattern=LINES)]
    address: Line | None = None


class PartyView(Given):
    """A partner; ``fingerprint`` is for reading aloud, ``seen`` when it last answered a ping.

    ``unconfirmed`` is the address that it offers: it is not dialled until you state it.
    """

    party: PartyName
    address: str | None = None
    unconfirmed: str | None = None
    fingerprint: str = ""
    added: float | None = None
    seen: float | None = None


class PartyPage(Given):
    """A page of partners."""

    items: tuple[PartyView, ...]
    next: str | None = None


class InvitationRequest(Asked):
    """Who is invited."""

    party: PartyName


class Invitation(Given):
    """A one-time code: shown once. ``id`` names it in the list of open ones and the audit log."""

    id: str = ""
    party: str = ""
    code: str
    expires: float | None = None


class OpenInvitation(Given):
    """A code that may still be used: for whom, and until when. The code itself is not kept."""

    id: str
    party: str
    expires: float


class InvitationPage(Given):
    """A page of codes that may still be used."""

    items: tuple[OpenInvitation, ...]
    next: str | None = None


class AcceptRequest(Asked):
    """A partner's one-time code, and the address in it: what is not stated is not dialled."""

    code: Annotated[str, Field(min_length=1, max_length=16384, pattern=LINES)]
    address: Line | None = None


class AddressRequest(Asked):
    """Where a partner's node is dialled, host:port."""

    address: Line


class Ping(Given):
    """A partner's sign of life."""

    party: str
    reachable: bool = True
    seconds: float = 0.0
    version: str | None = None


class Rotation(Given):
    """The node's new certificate.

    Partners that were ``notified`` refuse the key before; those ``waiting`` do so once they have
    spoken with this node.
    """

    fingerprint: str = ""
    expires: float | None = None
    notified: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
