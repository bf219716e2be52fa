"""What every implementation does alike: who is who, and the policy on sizes."""

from __future__ import annotations

import hashlib

from atoll.channel.party import Party
from atoll.core.codec import encode
from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.operators.psi.api import PsiParameters


def peer_of(party: Party) -> str:
    """Return the other of exactly one guest and one host. Errors: ATL-PSI-001."""
    if sorted(party.roles.values()) != [Role.GUEST, Role.HOST]:
        raise UserError("ATL-PSI-001", "an intersection has one guest and one host")
    (peer,) = set(party.roles) - {party.name}
    return peer


def agreement(session: bytes, parameters: PsiParameters) -> bytes:
    """Return the hash of what both parties must have agreed on before they begin."""
    whole = ["atoll/psi/v3", "agreement", session, parameters.model_dump()]
    return hashlib.sha256(encode(whole)).digest()


def check_sets(parameters: PsiParameters, rows: int, peer_rows: int) -> None:
    """Refuse sets that are themselves smaller than the minimum. Errors: ATL-PSI-003."""
    if min(rows, peer_rows) < parameters.minimum_intersection:
        raise too_small(parameters)


def too_small(
    parameters: PsiParameters, party: str | None = None, rows: int | None = None
) -> UserError:
    """Return the refusal of a set (of at most ``rows`` ids) below the minimum. Reveals: nothing."""
    known = "" if rows is None else f": {rows} of {parameters.minimum_intersection}"
    return UserError(
        "ATL-PSI-003",
        f"a party holds fewer ids than the smallest intersection that is allowed{known}",
        party=party,
        place="parameters.minimum_intersection",
        hint="both sets must hold at least minimum_intersection ids",
    )


def empty() -> UserError:
    """Return the refusal to go on without any row. Reveals: nothing."""
    return UserError(
        "ATL-PSI-004",
        "no id is in common, so there is no row to go on with",
        hint="check that both id columns hold the same kind of id",
    )


def check_count(accepted: bool) -> None:
    """Refuse an intersection that is too small. Errors: ATL-PSI-004."""
    if not accepted:
        raise UserError(
            "ATL-PSI-004",
            "fewer ids are in common than the smallest intersection that is allowed",
            hint="check that both id columns hold the same kind of id",
        )
