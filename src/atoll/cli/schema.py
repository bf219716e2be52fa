"""``atoll schema``: the JSON Schemas of what commands print and files hold."""

from __future__ import annotations

import click

from atoll.cli.console import print_json
from atoll.cli.options import Output, printed


@click.command()
@click.argument("name", nargs=-1)
@printed
def command(output: Output, name: tuple[str, ...]) -> None:
    """Print the JSON Schema NAME; without one, list all names.

    NAME is a document (job, plan, report, grant, error, `component psi` for its parameters) or a
    command (job list), whose output with --json it describes. For `job watch` it is each line.
    """
    from atoll.cli import outputs

    if name:
        print_json(outputs.schema(" ".join(name)))
        return
    known = outputs.names()
    text = "\n".join(["documents:", *(f"  {one}" for one in known.documents)])
    text += "\n" + "\n".join(["commands:", *(f"  {one}" for one in known.commands)])
    output.show(known, text)
