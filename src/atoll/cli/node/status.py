"""``atoll status``: how this machine's node does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from atoll.cli.console import amount, info, print_json, print_text
from atoll.cli.node.options import chosen, folder_option, json_option
from atoll.core.printable import clean
from atoll.flow.node.process import check_folder, find

_NOT_RUNNING = 3


@click.command()
@folder_option
@json_option
def command(folder: Path | None, as_json: bool) -> int:
    """Show the node's process, jobs, workers, partners and certificates; 3 if none runs."""
    at = chosen(folder)
    check_folder(at)
    running = find(at)
    if running is None:
        if as_json:
            print_json({"running": False})
        else:
            info("no node runs in this folder")
        return _NOT_RUNNING
    found = _ask(running.url, running.token)
    if as_json:
        print_json({"running": True, "url": running.url, **found})
        return 0
    print_text("\n".join(clean(line) for line in _lines(running.url, found)))
    return 0


def _ask(url: str, token: str) -> dict[str, Any]:
    from atoll.sdk.client import Client

    with Client(url, token=token) as client:
        return dict(client.status())


def _lines(url: str, found: dict[str, Any]) -> list[str]:
    jobs = ", ".join(f"{count} {state}" for state, count in found["jobs"].items()) or "none"
    partners = ", ".join(
        f"{name} ({entry['address'] or 'calls us'})" for name, entry in found["partners"].items()
    )
    lines = [
        f"party     {found['party']} (process {found['pid']}, {found['seconds']:.0f} s, "
        f"{amount(found['memory'])})",
        f"API       {url}",
        f"partners  {partners or 'none'}; they reach this node at {found['gateway'] or 'nowhere'}",
        f"jobs      {jobs}",
        f"workers   {len(found['workers'])}",
    ]
    refused = [f"{code} ({count})" for code, count in sorted(found.get("refused", {}).items())]
    if refused:
        lines.append(f"refused   {', '.join(refused)}, since the start")
    lines += [
        f"{entry['state']:<9} {entry['message']}"
        for entry in found["certificates"]
        if entry["state"] != "ok"
    ]
    return lines
