"""Other party ids for a model: in its part, and in the graph that it comes from. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atoll.core.errors import AtollError, UserError
from atoll.core.names import party_id
from atoll.jobs.definition import Job, parse_job
from atoll.models.kinds import Kinds


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


def renamed_part(kind: str, data: bytes, names: Mapping[str, str], kinds: Kinds) -> bytes:
    """Return a part's bytes with other party ids. Errors: ATL-REG-008, ATL-MOD-001."""
    known = kinds.get(kind)
    if known is None or known.rename is None:
        raise _cannot(f"parts of kind {kind!r} have no rule for it", None)
    return known.write(known.rename(known.read(data), names))


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
