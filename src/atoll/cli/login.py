"""``atoll login``, ``logout``, ``whoami``: connections to nodes, kept by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from atoll.cli import lines
from atoll.cli.options import Output, Session, connected, printed, secret, secret_file
from atoll.core.errors import AtollError

if TYPE_CHECKING:
    from atoll.flow.api import views
    from atoll.sdk.client import Client
    from atoll.sdk.profiles import Profile


@click.command()
@click.argument("url")
@click.option("--user", default="admin", help="your name at the node (admin)")
@secret_file("--password-file", "the password; else it is asked for")
@click.option("--profile", default="default", help="keep the connection under this name (default)")
@click.option("--default", "as_default", is_flag=True, help="mean this one where none is named")
@click.option("--ca", type=click.Path(path_type=Path), help="the authority of its HTTPS (PEM)")
@click.option("--plain", is_flag=True, help="allow HTTP to another machine; your token is readable")
@printed
def login(
    output: Output,
    url: str,
    user: str,
    secret_at: Path | None,
    profile: str,
    as_default: bool,
    ca: Path | None,
    plain: bool,
) -> None:
    """Log in to the node at URL; the token is kept in your file of profiles (mode 0600)."""
    from atoll.sdk import profiles

    place = profiles.checked_url(url)
    profiles.check_token_travels(place, plain=plain)
    password = secret(secret_at, f"Password of {user}")
    made = profiles.Profile(place, user=user, ca=str(ca.resolve()) if ca else None, plain=plain)
    answer = _exchange(made, user, password)
    made = profiles.Profile(place, answer.token, user, answer.expires, made.ca, plain)
    known = profiles.read_profiles().with_profile(profile, made, default=as_default)
    profiles.write_profiles(known)
    with _client(made) as client:
        must_change = client.me.show().must_change
    shown = {
        "profile": profile,
        "url": place,
        "user": user,
        "expires": answer.expires,
        "default": known.default == profile,
        "must_change": must_change,
    }
    output.show(shown)
    output.info(f"{user} at {place} until {lines.moment(answer.expires)} UTC (profile {profile})")
    if must_change:
        output.info("this password must be changed first: atoll user password")


def _exchange(made: Profile, user: str, password: str) -> views.LoginAnswer:
    with _client(made) as client:
        return client.me.login(user, password)


def _client(made: Profile) -> Client:
    from atoll.sdk.client import Client
    from atoll.sdk.target import Target

    return Client(target=Target(made.url, made.token, made.ca, made.plain))


@click.command()
@click.option("--profile", help="which connection (else the default)")
@printed
def logout(output: Output, profile: str | None) -> None:
    """End a connection: the node forgets its token, and so does your file of profiles."""
    from atoll.sdk import profiles

    known = profiles.read_profiles()
    made = known.get(profile)
    name = next(name for name, entry in known.profiles.items() if entry is made)
    try:
        with _client(made) as client:
            client.me.logout()
    except AtollError as error:
        output.info(f"the node was not notified: {error.code}")
    profiles.write_profiles(known.without(name))
    output.show({"done": True, "what": f"logged out of {name}"}, f"logged out of {name}")


@click.command()
@connected
def whoami(session: Session) -> None:
    """Show who you are to the node, and what you may do."""
    me = session.client.me.show()
    text = lines.facts(
        ("user", me.user),
        ("roles", lines.names(sorted(me.roles))),
        ("may", lines.names(me.permissions)),
        ("node", session.client.target.url),
    )
    session.show(me, text)
