"""``atoll party``: a party's keys in its folder, and the partners of a node."""

from __future__ import annotations

from pathlib import Path

import click

from atoll.channel.identity import check_address, export_ca, fingerprint, load_party, trust
from atoll.cli import completing, lines
from atoll.cli.console import print_text, table
from atoll.cli.options import (
    Output,
    Session,
    confirm,
    connected,
    keyed,
    paged,
    printed,
    secret,
    secret_file,
    sure,
)
from atoll.flow.api import views
from atoll.jobs.errors import NotFoundError

_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="the party's folder"
)
_party = click.argument("party", shell_complete=completing.parties)


@click.group()
def command() -> None:
    """Invite partners to a node, see and revoke them; show a party's keys.

    export and show work on the files of a --folder and ask no node.
    """


@command.command()
@_FOLDER
def export(folder: Path) -> None:
    """Write the authority that partners pin (PEM) to standard output."""
    print_text(export_ca(folder).decode().rstrip("\n"))


@command.command(name="trust")
@click.argument("peer")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--address", help="where the peer listens, host:port")
@click.option("--replace", is_flag=True, help="pin it in place of the one that is pinned now")
@keyed
@connected
def trust_(
    session: Session,
    peer: str,
    file: Path,
    address: str | None,
    replace: bool,
    key: str | None,
) -> None:
    """Pin the authority in FILE as the only one that certifies PEER.

    Sends it to the node; in a --folder whose node does not run (or that has none) its files alone.
    """
    if not file.is_file():
        raise NotFoundError("ATL-CLI-005", "there is no such file", place=str(file))
    authority = file.read_bytes()
    if _rests(session):
        pinned = trust(session.folder or Path(), peer, authority, address, replace=replace)
        shown = {"party": peer, "address": address, "fingerprint": fingerprint(pinned.ca)}
        session.show(shown, fingerprint(pinned.ca))
    else:
        text = authority.decode("utf-8", "replace")
        view = session.client.parties.add(peer, text, address, key=key)
        session.show(view, view.fingerprint or view.party)
    session.info(
        f"{peer} is trusted through this authority alone; compare the fingerprint by phone"
    )


def _rests(session: Session) -> bool:
    """Return whether a folder was named in which no node runs."""
    if session.folder is None:
        return False
    from atoll.flow.node.folder import NodeFolder

    return NodeFolder(session.folder).running() is None


@command.command()
@_FOLDER
@printed
def show(output: Output, folder: Path) -> None:
    """Show a party, its fingerprint, its peers, and when certificates end."""
    identity = load_party(folder)
    ends = identity.expiries()
    whole = {
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
    parts = [f"party {identity.party}\nfingerprint {fingerprint(identity.ca)}\n"]
    for name, peer in identity.peers.items():
        parts.append(f"trusts {name} at {peer.address or '(it dials)'}\n  {fingerprint(peer.ca)}")
    rows = [("certificate", "of", "ends", "days left")]
    rows += [(e.what, e.party, f"{e.ends:%Y-%m-%d}", f"{e.days_left:.0f}") for e in ends]
    output.show(whole, "\n".join([*parts, "\n" + table(rows)]))


@command.command()
@click.argument("party")
@keyed
@connected
def invite(session: Session, party: str, key: str | None) -> None:
    """Make a one-time code with which PARTY can join; hand it over by a safe way."""
    made = session.client.parties.invite(party, key=key)
    session.show(made, made.code)
    until = f" until {lines.moment(made.expires)} UTC" if made.expires else ""
    session.info(f"the code works once, for {party} alone{until}; it is shown only now")


@command.command()
@paged
@connected
def invitations(session: Session, limit: int, after: str | None) -> None:
    """List the one-time codes that may still be used; the codes themselves are not kept."""
    page = session.client.parties.invitations(limit=limit, after=after)
    body = [(row.id, row.party, lines.moment(row.expires)) for row in page.items]
    session.show(page, lines.rows(("id", "party", "until (UTC)"), body, "no open invitations"))
    if page.next and not session.as_json:
        session.info(f"more: --after {page.next}")


@command.command()
@click.argument("invitation")
@sure
@connected
def withdraw(session: Session, invitation: str, yes: bool) -> None:
    """Withdraw the one-time code of the id INVITATION, which was not used yet."""
    confirm(f"Withdraw the invitation {invitation}?", yes)
    session.client.parties.withdraw(invitation)
    session.show({"done": True, "what": f"withdrew {invitation}"}, f"withdrew {invitation}")


@command.command()
@secret_file("--code-file", "the partner's one-time code; else it is asked for")
@click.option("--address", help="where you know the partner to listen; else it is shown and asked")
@sure
@keyed
@connected
def accept(
    session: Session, secret_at: Path | None, address: str | None, yes: bool, key: str | None
) -> None:
    """Use a partner's one-time code: both nodes know and trust each other then.

    The code names the address of the partner's node, which is dialled once you confirm it.
    """
    from atoll.flow.node.partners.invitations import read_code

    code = secret(secret_at, "Code")
    if address is None:
        invitation = read_code(code)
        address = invitation.address
        check_address(address, invitation.inviter)
        confirm(f"The code is of {invitation.inviter}, whose node is at {address}. Dial it?", yes)
    view = session.client.parties.accept(code, address, key=key)
    session.show(view, f"{view.party} at {view.address or '(it calls us)'}")
    if view.fingerprint:
        session.info(f"compare its fingerprint by telephone: {view.fingerprint}")


@command.command(name="confirm")
@_party
@click.option("--address", help="where you know it to listen, host:port; else what it offers")
@sure
@connected
def confirm_(session: Session, party: str, address: str | None, yes: bool) -> None:
    """Have PARTY's node dialled at the address that it offers, or at another."""
    if address is None:
        address = _offered(session, party)
        confirm(f"{party} offers {address}. Is that where its node listens?", yes)
    view = session.client.parties.confirm(party, address)
    session.show(view, f"{view.party} at {view.address}")


def _offered(session: Session, party: str) -> str:
    after = None
    while True:
        page = session.client.parties.list(limit=200, after=after)
        for row in page.items:
            if row.party == party and row.unconfirmed:
                return row.unconfirmed
        if page.next is None:
            break
        after = page.next
    raise NotFoundError(
        "ATL-CLI-028",
        "this party offers no address that waits for your word",
        party=party,
        hint="state one with --address; see atoll party list",
    )


def _place(row: views.PartyView) -> str:
    offered = f"{row.unconfirmed} (not confirmed)" if row.unconfirmed else ""
    return ", ".join(part for part in (row.address, offered) if part) or "(it calls us)"


@command.command(name="list")
@paged
@connected
def list_(session: Session, limit: int, after: str | None) -> None:
    """List the node's partners."""
    page = session.client.parties.list(limit=limit, after=after)
    body = [
        (
            row.party,
            _place(row),
            lines.moment(row.seen),
        )
        for row in page.items
    ]
    head = ("party", "address", "seen (UTC)")
    session.show(page, lines.rows(head, body, "no partners"))
    if page.next and not session.as_json:
        session.info(f"more: --after {page.next}")


@command.command()
@_party
@sure
@connected
def revoke(session: Session, party: str, yes: bool) -> None:
    """Withdraw the trust in PARTY; its connections and its open invitations end."""
    confirm(f"Withdraw the trust in {party}?", yes)
    session.client.parties.revoke(party)
    session.show({"done": True, "what": f"revoked {party}"}, f"revoked {party}")


@command.command()
@sure
@keyed
@connected
def rotate(session: Session, yes: bool, key: str | None) -> None:
    """Give the node a new key and certificate; partners refuse the old one once they see it."""
    confirm("Make a new key and certificate for the node?", yes)
    made = session.client.parties.rotate(key=key)
    until = f"until {lines.moment(made.expires)} UTC" if made.expires else ""
    session.show(made, lines.names(part for part in (made.fingerprint, until) if part))
    for names, text in (
        (made.notified, "refuse the old key from now on"),
        (made.waiting, "will once they have spoken with this node"),
    ):
        if names and not session.as_json:
            session.info(f"{lines.names(names)}: {text}")


@command.command()
@_party
@connected
def ping(session: Session, party: str) -> int:
    """Ask PARTY's node for a sign of life; exit code 6 if there is none."""
    found = session.client.parties.ping(party)
    text = f"{found.party} answered in {found.seconds * 1000:.1f} ms"
    session.show(found, text if found.reachable else f"{found.party} does not answer")
    return 0 if found.reachable else 6
