"""What the commands for a node have in common: its folder, settings and output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from atoll.core.errors import UserError
from atoll.flow.node.folder import NodeFolder
from atoll.flow.node.process import default_folder

F = TypeVar("F", bound=Callable[..., Any])


def folder_option(function: F) -> F:
    """Add ``--folder``: the node's folder, else ATOLL_HOME, else ~/.atoll."""
    return click.option(
        "--folder",
        type=click.Path(path_type=Path),
        help="the node's folder (else ATOLL_HOME, else ~/.atoll)",
    )(function)


def json_option(function: F) -> F:
    """Add ``--json``: one JSON object on standard output."""
    return click.option(
        "--json", "as_json", is_flag=True, help="one JSON object on standard output"
    )(function)


def set_option(function: F) -> F:
    """Add ``--set section.key=value``, any number of times."""
    return click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="a setting for this start"
    )(function)


def chosen(folder: Path | None) -> NodeFolder:
    """Return the folder that was named, or the default one."""
    return NodeFolder(folder or default_folder())


def flags(settings: Sequence[str]) -> dict[str, str]:
    """Return ``--set`` options by key. Errors: ATL-SET-011 not of the form KEY=VALUE."""
    found = {}
    for text in settings:
        key, mark, value = text.partition("=")
        if not mark:
            raise UserError("ATL-SET-011", "a setting is written KEY=VALUE", place=f"--set {text}")
        found[key] = value
    return found
