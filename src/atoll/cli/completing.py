"""What the shell completes with what the node knows; silent wherever that cannot be asked.

A shell puts what it completes into the line as it is and runs the line: of what a node states only
plain words are completed, whatever the node.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from atoll.core.printable import clean

if TYPE_CHECKING:
    from atoll.sdk.client import Client

SECONDS = 2.0
ROWS = 100
ABOUT = 256
# Nothing of this is quoted, expanded or an option in any shell.
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,255}")
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _asking(ask: Callable[[Client, dict[str, Any]], Iterable[tuple[str, str]]]) -> Completer:
    def complete(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            from atoll.sdk.client import Client

            named = {name: context.params.get(name) for name in ("url", "profile", "folder")}
            with Client(**named, timeout=SECONDS, attempts=1) as client:
                found = list(ask(client, context.params))
        except Exception:
            # A shell that completes is no place for errors.
            return []
        return [
            CompletionItem(name, help=clean(about[:ABOUT]))
            for name, about in found[:ROWS]
            if name.startswith(incomplete) and _WORD.fullmatch(name)
        ]

    return complete


def _jobs(client: Client, given: dict[str, Any]) -> Iterable[tuple[str, str]]:
    return ((row.id, f"{row.name} {row.state}") for row in client.jobs.list(limit=ROWS).items)


def _steps(client: Client, given: dict[str, Any]) -> Iterable[tuple[str, str]]:
    view = client.jobs.get(str(given["job"])).view
    return ((name, step.state) for name, step in view.steps.items())


def _parties(client: Client, given: dict[str, Any]) -> Iterable[tuple[str, str]]:
    return ((row.party, row.address or "") for row in client.parties.list(limit=ROWS).items)


def _tables(client: Client, given: dict[str, Any]) -> Iterable[tuple[str, str]]:
    return ((row.name, f"{row.rows} rows") for row in client.data.list(limit=ROWS).items)


def _models(client: Client, given: dict[str, Any]) -> Iterable[tuple[str, str]]:
    rows = client.models.list(limit=ROWS).items
    return ((f"{row.id}:{row.version}", row.stage) for row in rows)


def _users(client: Client, given: dict[str, Any]) -> Iterable[tuple[str, str]]:
    return ((row.name, ", ".join(row.roles)) for row in client.users.list(limit=ROWS).items)


def _components(client: Client, given: dict[str, Any]) -> Iterable[tuple[str, str]]:
    return ((row.name, row.version) for row in client.components.list().items)


jobs = _asking(_jobs)
steps = _asking(_steps)
parties = _asking(_parties)
tables = _asking(_tables)
models = _asking(_models)
users = _asking(_users)
components = _asking(_components)
