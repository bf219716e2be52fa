"""``atoll down``: stop this machine's node."""

from __future__ import annotations

from pathlib import Path

import click

from atoll.cli.console import info, print_json
from atoll.cli.node.options import chosen, folder_option, json_option
from atoll.flow.node.process import down


@click.command()
@folder_option
@json_option
@click.option("--timeout", default=60.0, show_default=True, help="seconds until it is killed")
def command(folder: Path | None, as_json: bool, timeout: float) -> None:
    """Stop the node in order: running tasks end or are taken up at the next start."""
    stopped = down(chosen(folder), seconds=timeout)
    if as_json:
        print_json({"stopped": stopped})
    else:
        info("the node is stopped" if stopped else "no node ran in this folder")
