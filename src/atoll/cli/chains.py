"""What ``atoll audit`` and ``atoll ledger`` share: pages of a chain, and checking its links."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from atoll.flow.store.chain import START, holds
from atoll.jobs.errors import TamperedError


def verify(lines: Iterable[Any], words: tuple[str, ...], name: str) -> dict[str, Any]:
    """Check every link of a chain, the oldest line first; return how many lines it has.

    ``words`` are the fields that are hashed beside number, time and the hash before. That lines
    were cut off at the end does not show in a chain itself: compare the head with an older one.
    Errors: ATL-CLI-025 a line was changed, added or taken out.
    """
    previous, count = START, 0
    for line in lines:
        count += 1
        body = {word: getattr(line, word) for word in words}
        body |= {"number": line.number, "previous": line.previous, "hash": line.hash}
        body["milliseconds"] = round(line.time * 1000)
        if not holds(body, count, previous):
            raise TamperedError(
                "ATL-CLI-025",
                f"the {name} was changed after it was written",
                place=f"line {count}",
                hint="restore the node's database from a backup; ask who had access to it",
            )
        previous = line.hash
    return {"lines": count, "whole": True, "head": previous if count else ""}


def summary(found: dict[str, Any]) -> str:
    """Return the result of a check for people."""
    head = f", the last one's hash is {found['head']}" if found["head"] else ""
    return f"{found['lines']} lines, unbroken{head}"
