"""A group of commands that imports a command only when it is called or asked for its help."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class Lazy(click.Group):
    """A group over a literal table: name → (``module:attribute``, one line about it).

    ``gone`` holds, for commands that were removed, what to do instead.
    """

    def __init__(
        self,
        table: Mapping[str, tuple[str, str]],
        *,
        gone: Mapping[str, str] | None = None,
        **named: Any,
    ) -> None:
        super().__init__(**named)
        self._table = dict(table)
        self._gone = dict(gone or {})

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self._table)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import and return a command, if the table has it."""
        entry = self._table.get(name)
        if entry is None:
            return None
        module, _, attribute = entry[0].partition(":")
        found = getattr(importlib.import_module(module), attribute or "command")
        if not isinstance(found, click.Command):
            raise TypeError(f"{entry[0]} is no command")
        return found

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in self._table.items()])

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one."""
        if args and args[0] not in self._table and not args[0].startswith("-"):
            from atoll.jobs.validation import near

            hint = self._gone.get(args[0]) or near(args[0], self._table)
            context.fail(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(context, args)
