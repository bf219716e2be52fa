"""``atoll party``: a party's keys, and whom it trusts."""

from __future__ import annotations

from pathlib import Path

import click

from atoll.channel.identity import export_ca, fingerprint, init_party, load_party, trust
from atoll.cli.talk import give, give_json, say, table
from atoll.jobs.errors import NotFoundError

_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="the party's folder"
)
_JSON = click.option("--json", "as_json", is_flag=True, help="one JSON object on standard output")


@click.group()
def command() -> None:
    """Make a party's keys, show them, and trust a peer."""


@command.command()
@click.argument("name")
@_FOLDER
@click.option("--key", type=click.Choice(["p256", "ed25519"]), default="p256", help="kind of key")
def init(name: str, folder: Path, key: str) -> None:
    """Make keys, an authority and a certificate for the party NAME in a folder."""
    identity = init_party(folder, name, "ed25519" if key == "ed25519" else "p256")
    say(f"{name} lives in {folder}; private keys are readable by you alone")
    say("give partners the authority (atoll party export) and read them its fingerprint:")
    give(fingerprint(identity.ca))


@command.command()
@_FOLDER
def export(folder: Path) -> None:
    """Write the authority that partners pin (PEM) to standard output."""
    give(export_ca(folder).decode().rstrip("\n"))


@command.command(name="trust")
@click.argument("peer")
@click.argument("file", type=click.Path(path_type=Path))
@_FOLDER
@click.option("--address", help="where the peer listens, host:port")
@click.option("--replace", is_flag=True, help="pin it in place of the one that is pinned now")
def trust_(peer: str, file: Path, folder: Path, address: str | None, replace: bool) -> None:
    """Pin the authority in FILE as the only one that speaks for PEER."""
    if not file.is_file():
        raise NotFoundError("ATL-CLI-005", "there is no such file", place=str(file))
    pinned = trust(folder, peer, file.read_bytes(), address, replace=replace)
    say(f"{peer} is trusted through this authority alone; compare its fingerprint by telephone:")
    give(fingerprint(pinned.ca))


@command.command()
@_FOLDER
@_JSON
def show(folder: Path, as_json: bool) -> None:
    """Show a party, its fingerprint, its peers, and when certificates end."""
    identity = load_party(folder)
    ends = identity.expiries()
    if as_json:
        give_json(
            {
                "party": identity.party,
                "fingerprint": fingerprint(identity.ca),
                "peers": {
                    name: {"fingerprint": fingerprint(peer.ca), "address": peer.address}
                    for name, peer in identity.peers.items()
                },
                "certificates": [
                    {"what": e.what, "party": e.party, "ends": e.ends.isoformat()} for e in ends
                ],
            }
        )
        return
    give(f"party {identity.party}\nfingerprint {fingerprint(identity.ca)}\n")
    for name, peer in identity.peers.items():
        give(f"trusts {name} at {peer.address or '(it dials)'}\n  {fingerprint(peer.ca)}")
    rows = [("certificate", "of", "ends", "days left")]
    rows += [(e.what, e.party, f"{e.ends:%Y-%m-%d}", f"{e.days_left:.0f}") for e in ends]
    give("\n" + table(rows))
