"""``atoll up``: start this machine's node."""

from __future__ import annotations

from pathlib import Path

import click

from atoll.cli import node_process
from atoll.cli.console import info, print_json, print_text
from atoll.cli.node.options import chosen, flags, folder_option, json_option, set_option
from atoll.flow.node.process import up


@click.command()
@folder_option
@set_option
@json_option
@click.option("--timeout", default=60.0, show_default=True, help="seconds until it must answer")
@click.option("--foreground", is_flag=True, help="stay, for systemd, containers and debuggers")
def command(
    folder: Path | None, settings: tuple[str, ...], as_json: bool, timeout: float, foreground: bool
) -> int:
    """Start the node and wait until it answers."""
    at = chosen(folder)
    if foreground:
        return node_process.main([str(at.root), *(f"--set={text}" for text in settings)])
    command = node_process.command(at)
    found = up(at, command, flags=flags(settings), seconds=timeout, notify=info)
    if as_json:
        print_json({"pid": found.pid, "url": found.url})
    else:
        info(f"the node runs as process {found.pid}; its API:")
        print_text(found.url)
    return 0
