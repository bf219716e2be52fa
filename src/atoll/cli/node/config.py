"""``atoll config``: a node's settings and where each came from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from atoll.cli.console import print_json, print_text, table
from atoll.cli.node.options import chosen, flags, folder_option, json_option, set_option
from atoll.flow.node.configuration import load


@click.group()
def command() -> None:
    """Show settings, and where each value came from."""


@command.command()
@click.argument("key")
@folder_option
@set_option
@json_option
def explain(key: str, folder: Path | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Show the value of KEY (section.name), its origin, default and meaning."""
    found = load(chosen(folder).root, flags=flags(settings)).explain(key)
    if as_json:
        print_json(asdict(found))
        return
    lines = [
        f"{found.key} = {found.value!r}",
        f"  from         {found.origin}",
        f"  default      {found.default!r}",
        f"  what it does {found.description}",
        f"  environment  {found.environment}",
    ]
    if found.fate:
        lines.append(f"  in FATE      {found.fate}")
    print_text("\n".join(lines))


@command.command(name="list")
@folder_option
@set_option
@json_option
def list_(folder: Path | None, settings: tuple[str, ...], as_json: bool) -> None:
    """List every setting with its value and origin."""
    found = load(chosen(folder).root, flags=flags(settings)).all()
    if as_json:
        print_json([asdict(entry) for entry in found])
        return
    rows = [["key", "value", "from"]]
    rows += [[entry.key, repr(entry.value), entry.origin] for entry in found]
    print_text(table(rows))
