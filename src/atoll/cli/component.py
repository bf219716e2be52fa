"""``atoll component``: the catalogue of the node, and packages of others."""

from __future__ import annotations

from pathlib import Path

import click

from atoll.cli import completing, lines
from atoll.cli.options import Output, Session, confirm, connected, keyed, printed, sure
from atoll.core.errors import UserError

_name = click.argument("name", shell_complete=completing.components)


@click.group()
def command() -> None:
    """List algorithms, approve packages of others, begin one of your own."""


@command.command()
@click.argument("name")
@click.option("--folder", type=click.Path(path_type=Path), help="where (a new folder atoll-NAME)")
@click.option(
    "--shape",
    type=click.Choice(["pair", "star", "arbiter", "helper", "model", "transform"]),
    default="pair",
    show_default=True,
    help="pair: guest and hosts; star: aggregator and clients; with an arbiter, with a helper; "
    "a model of its own; a transform",
)
@printed
def new(output: Output, name: str, folder: Path | None, shape: str) -> None:
    """Write a package with the component NAME: parameters, roles, declared reveals, tests.

    It runs and passes its own tests as it is; change it from there.
    """
    from atoll.components import scaffold

    files = scaffold.write(name, folder or Path(f"atoll-{name}"), shape)
    output.show({"files": [str(file) for file in files]}, "\n".join(map(str, files)))


@command.command(name="list")
@connected
def list_(session: Session) -> None:
    """List the components that jobs may use at this node."""
    found = session.client.components.list()
    body = [
        (
            one.name,
            one.version,
            "yes" if one.approved else "no",
            one.distribution or "atoll",
            (one.digest or "")[:16],
        )
        for one in found.items
    ]
    head = ("component", "version", "approved", "package", "digest")
    session.show(found, lines.rows(head, body, "no components"))


@command.command()
@_name
@connected
def show(session: Session, name: str) -> None:
    """Show the component NAME: inputs, outputs, parameters."""
    found = session.client.components.get(name)
    text = lines.facts(
        ("component", f"{found.name} {found.version}"),
        ("approved", "yes" if found.approved else "no"),
        ("package", found.distribution),
        ("digest", found.digest),
        ("roles", lines.names(found.roles)),
        ("inputs", lines.names(found.inputs)),
        ("outputs", lines.names(f"{key} ({kind})" for key, kind in found.outputs.items())),
        ("about", found.description),
    )
    properties = found.parameters.get("properties")
    body = [
        (key, one.get("default"), one.get("description"))
        for key, one in (properties if isinstance(properties, dict) else {}).items()
        if isinstance(one, dict)
    ]
    table = lines.rows(("parameter", "default", "what it does"), body, "")
    session.show(found, f"{text}\n\n{table}" if table else text)


def _digest(session: Session, name: str, digest: str | None) -> str:
    found = digest or session.client.components.get(name).digest
    if not found:
        raise UserError(
            "ATL-CLI-026", "this component is in no package that is approved by digest", place=name
        )
    return found


@command.command()
@_name
@click.option("--digest", help="of the package that was read; else the installed one's is shown")
@sure
@keyed
@connected
def approve(session: Session, name: str, digest: str | None, yes: bool, key: str | None) -> None:
    """Approve the installed package of the component NAME; its code runs at this node then."""
    chosen = _digest(session, name, digest)
    if digest is None:
        confirm(f"Approve {name} with the digest {chosen}?", yes)
    found = session.client.components.approve(name, chosen, key=key)
    session.show(found, f"approved {found.name} {found.version}")


@command.command()
@_name
@click.option("--digest", help="which one (else the installed one)")
@sure
@keyed
@connected
def revoke(session: Session, name: str, digest: str | None, yes: bool, key: str | None) -> None:
    """Withdraw the approval of the component NAME."""
    confirm(f"Withdraw the approval of {name}?", yes)
    found = session.client.components.revoke(name, _digest(session, name, digest), key=key)
    session.show(found, f"revoked {found.name} {found.version}")
