"""Where two parties' views of a job differ, by name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atoll.core.errors import PeerError
from atoll.jobs.plan import ComponentFacts, differing

PHASE = "agreement"


def compare(mine: Mapping[str, str], theirs: Mapping[str, str], peer: str) -> None:
    """Compare the digests of parts. Errors: ATL-PLN-001, naming the parts that differ."""
    parts = differing(dict(mine), dict(theirs))
    if parts:
        raise different(parts, peer)


def compare_code(mine: Mapping[str, ComponentFacts], theirs: Mapping[str, Any], peer: str) -> None:
    """Compare versions and digests of components with a peer's plain ones. Errors: ATL-PLN-001."""
    for name, facts in mine.items():
        if theirs.get(name) != facts.model_dump(mode="json"):
            raise different([f"components.{name}"], peer)


def different(parts: list[str], peer: str) -> PeerError:
    """Return the error that names the parts on which a peer holds another plan."""
    return PeerError(
        "ATL-PLN-001",
        f"the parties hold different plans: {', '.join(parts)}",
        party=peer,
        phase=PHASE,
        place=parts[0],
        hint="compare the job files, the installed versions and the tables of both parties",
    )
