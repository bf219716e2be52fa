"""Which partner an own task's error blames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atoll.core.names import party_of


def blaming(error: Mapping[str, Any], own: str) -> str | None:
    """Return the message of an own task's error, with the other party that it names, if one.

    All parties state the job's end as that of who failed first, which a liar's partner may be.
    """
    message, party = error.get("message"), error.get("party")
    if message is None or party is None or party_of(str(party)) == own:
        return message
    return f"{message} (party {party})"
