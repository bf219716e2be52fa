"""Who takes part in a step: the roles that its component names, with what it takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import BaseModel

from atoll.components.alignment import absent
from atoll.components.api import Component
from atoll.core.names import Roles, Seat
from atoll.jobs.participation import seats_of


def taking_part(
    step: str,
    component: Component,
    parties: Mapping[str, Roles],
    parameters: BaseModel,
    held: Mapping[str, Collection[str]],
    sources: Mapping[str, str] | None = None,
) -> tuple[Seat, ...]:
    """Return the seats of a step; ``held`` are the parties that have each connected input.

    Errors: ATL-PLN-007 no party has an input (``sources`` is where it should come from).
    """
    edges = component.edges_of(parameters)
    seats = seats_of(parties, component.roles, edges)
    seats = tuple(seat for seat in seats if component.takes_part(seat.party, parameters))
    for port, having in sorted(_needed(component, held, silent=edges.silent).items()):
        roles = component.inputs[port].roles
        seats = tuple(
            seat
            for seat in seats
            if seat.party in having or (roles is not None and seat.role not in roles)
        )
        if not seats:
            raise absent(step, port, component.inputs[port].kind, None, (sources or {}).get(port))
    return seats


def _needed(
    component: Component, held: Mapping[str, Collection[str]], *, silent: bool
) -> dict[str, set[str]]:
    """Return who has something at each port without which a seat is left out."""
    needed: dict[str, set[str]] = {}
    for name, having in held.items():
        port = name.partition(".")[0]
        wanted = component.inputs.get(port)
        if wanted is None or wanted.optional or wanted.everywhere:
            continue
        if silent or wanted.only_with:
            needed.setdefault(port, set()).update(having)
    return needed
