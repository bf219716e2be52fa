"""``atoll restart``: stop this machine's node and start it again."""

from __future__ import annotations

from pathlib import Path

import click

from atoll.cli import node_process
from atoll.cli.console import info, print_json, print_text
from atoll.cli.node.options import chosen, flags, folder_option, json_option, set_option
from atoll.flow.node.configuration import load
from atoll.flow.node.process import check_folder, down, up


@click.command()
@folder_option
@set_option
@json_option
@click.option("--timeout", default=60.0, show_default=True, help="seconds for each of the two")
def command(folder: Path | None, settings: tuple[str, ...], as_json: bool, timeout: float) -> None:
    """Stop the node, if it runs, and start it with the settings as they are now."""
    at = chosen(folder)
    check_folder(at)
    # A node that works is not stopped for settings that do not.
    load(at.root, flags=flags(settings))
    down(at, seconds=timeout)
    command = node_process.command(at)
    found = up(at, command, flags=flags(settings), seconds=timeout, notify=info)
    if as_json:
        print_json({"pid": found.pid, "url": found.url})
    else:
        print_text(found.url)
