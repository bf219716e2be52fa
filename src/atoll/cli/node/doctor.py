"""``atoll doctor``: look this machine's node over."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from atoll.cli.console import print_json, print_text
from atoll.cli.node.options import chosen, folder_option, json_option
from atoll.core.printable import clean

_MARKS = {"ok": "ok      ", "warning": "warning ", "failed": "FAILED  "}


@click.command()
@folder_option
@json_option
def command(folder: Path | None, as_json: bool) -> int:
    """Look for what usually goes wrong; exit code 10 if something does."""
    from atoll.flow.node.doctor import examine

    found = examine(chosen(folder))
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            print_text(f"{_MARKS[finding.state]}{finding.name:<16} {clean(finding.message)}")
            if finding.hint and finding.state != "ok":
                print_text(f"        hint: {clean(finding.hint)}")
    return 10 if any(finding.state == "failed" for finding in found) else 0
