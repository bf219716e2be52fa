"""``atoll init``: make a node."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from atoll.cli.console import info, print_json, print_text
from atoll.cli.node.options import chosen, flags, folder_option, json_option, set_option
from atoll.jobs.errors import NotFoundError


@click.command()
@click.argument("party")
@folder_option
@set_option
@json_option
@click.option("--key", type=click.Choice(["p256", "ed25519"]), default="p256", help="kind of key")
@click.option("--csr", is_flag=True, help="only a key and a signing request for your company's CA")
@click.option("--chain", type=click.Path(path_type=Path), help="the signed chain (PEM), leaf first")
@click.option("--authority", type=click.Path(path_type=Path), help="the CA that signed it (PEM)")
def command(party: str, as_json: bool, **options: Any) -> None:
    """Make the node of PARTY: folder, keys, settings, database, first administrator.

    With --csr the company's own authority signs: hand the request in, then run the command again
    with --chain and --authority.
    """
    from atoll.flow.node import creating

    root = chosen(options["folder"]).root
    values = flags(options["settings"])
    if options["csr"]:
        print_text(creating.request(root, party, kind=options["key"]).decode().rstrip("\n"))
        return
    if options["chain"] is not None and options["authority"] is not None:
        chain, authority = _read(options["chain"]), _read(options["authority"])
        made = creating.install(root, party, chain, authority, values)
    else:
        made = creating.create(root, party, kind=options["key"], settings=values)
    if as_json:
        print_json(
            {
                "party": made.party,
                "folder": str(made.folder),
                "fingerprint": made.fingerprint,
                "user": "admin",
                "password": made.password,
            }
        )
        return
    info(f"{made.party} lives in {made.folder}; keys and database are readable by you alone")
    info(f"fingerprint of its authority: {made.fingerprint}")
    if made.password is not None:
        info("the first user is admin; the password is shown once and must be changed:")
        print_text(made.password)
    home = os.environ.get("ATOLL_HOME")
    named = "" if home and Path(home) == root else f" --folder {root}"
    info(f"start it: atoll up{named}")


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise NotFoundError("ATL-CLI-005", "there is no such file", place=str(path))
    return path.read_bytes()
