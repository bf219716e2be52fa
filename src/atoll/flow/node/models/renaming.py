"""Other party ids for a model: in its part, and in the graph that it comes from. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atoll.core.errors import AtollError, UserError
from atoll.core.names import party_id
from atoll.jobs.definition import Job, parse_job
from atoll.models.boosting import GuestPart, HostPart, part_from_bytes, part_to_bytes

RENAMABLE = frozenset({"boosting.model"})


def checked(parties: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, str]:
    """Return new ids by old ones, with all others kept. Errors: ATL-REG-008."""
    for old, new in parties.items():
        if old not in known:
            raise _cannot("a party that has no part of it", f"parties.{old}")
        try:
            party_id(new)
        except AtollError as error:
            raise _cannot(error.message, f"parties.{old}") from error
    whole = {name: parties.get(name, name) for name in known}
    if len(set(whole.values())) != len(whole):
        raise _cannot("two parties would have the same id", "parties")
    return whole


def renamed_part(kind: str, data: bytes, names: Mapping[str, str]) -> bytes:
    """Return a part's bytes with other party ids. Errors: ATL-REG-008, ATL-MOD-001."""
    if kind not in RENAMABLE:
        raise _cannot(f"parts of kind {kind!r} have no rule for it", None)
    part = part_from_bytes(data)

    def new(name: str) -> str:
        return names.get(name, name)

    if isinstance(part, GuestPart):
        changes: dict[str, Any] = {"hosts": tuple(new(host) for host in part.hosts)}
    else:
        changes = {"guest": new(part.guest)}
    whole = part.model_dump() | changes | {"party": new(part.party)}
    made: GuestPart | HostPart = type(part).model_validate(whole)
    return part_to_bytes(made)


def renamed_job(graph: Job, names: Mapping[str, str]) -> Job:
    """Return a job with other party ids: its parties, its readers' tables and its overrides."""

    def keys(value: Mapping[str, Any]) -> dict[str, Any]:
        return {names.get(name, name): entry for name, entry in value.items()}

    plain = graph.canonical()
    plain["parties"] = keys(plain["parties"])
    for step in plain["steps"].values():
        step["overrides"] = keys(step.get("overrides", {}))
        tables = step["parameters"].get("tables")
        if isinstance(tables, dict):
            step["parameters"]["tables"] = keys(tables)
    return parse_job(plain)


def _cannot(reason: str, place: str | None) -> UserError:
    return UserError(
        "ATL-REG-008", f"the model cannot be migrated to other ids: {reason}", place=place
    )
