"""``atoll user``: people of a node and what they may do."""

from __future__ import annotations

from pathlib import Path

import click

from atoll.cli import completing, lines
from atoll.cli.options import Session, confirm, connected, keyed, paged, secret, secret_file, sure
from atoll.core.errors import UserError
from atoll.flow.api import views

_ROLES = ("viewer", "modeller", "data owner", "approver", "auditor", "administrator")
_name = click.argument("name", shell_complete=completing.users)
_role = click.option(
    "--role", "roles", multiple=True, type=click.Choice(_ROLES), help="may be repeated"
)


@click.group()
def command() -> None:
    """Add people, give them roles, lock them out."""


def _text(view: views.UserView) -> str:
    return lines.facts(
        ("user", view.name),
        ("roles", lines.names(view.roles)),
        ("disabled", "yes" if view.disabled else None),
        ("must change the password", "yes" if view.must_change else None),
        ("locked until", lines.moment(view.locked_until) if view.locked_until else None),
    )


@command.command()
@click.argument("name")
@_role
@secret_file("--password-file", "the first password; else one is made and shown once")
@keyed
@connected
def add(
    session: Session, name: str, roles: tuple[str, ...], secret_at: Path | None, key: str | None
) -> None:
    """Add the user NAME; the first password must be changed at the first login."""
    password = None if secret_at is None else secret(secret_at, "Password")
    made = session.client.users.add(name, roles, password=password, key=key)
    session.show(made, made.password or _text(made))
    if made.password and not session.as_json:
        session.info(f"the password of {name} is shown once and must be changed at the first login")


@command.command(name="list")
@paged
@connected
def list_(session: Session, limit: int, after: str | None) -> None:
    """List users."""
    page = session.client.users.list(limit=limit, after=after)
    body = [(u.name, lines.names(u.roles), "disabled" if u.disabled else "") for u in page.items]
    session.show(page, lines.rows(("user", "roles", ""), body, "no users"))


@command.command()
@_name
@_role
@connected
def roles(session: Session, name: str, roles: tuple[str, ...]) -> None:
    """Give the user NAME these roles in place of those before (none: take all away)."""
    view = session.client.users.change(name, roles=roles)
    session.show(view, lambda: _text(view))


@command.command()
@_name
@sure
@connected
def disable(session: Session, name: str, yes: bool) -> None:
    """Lock the user NAME out and revoke all tokens."""
    confirm(f"Lock {name} out?", yes)
    view = session.client.users.change(name, disabled=True)
    session.show(view, lambda: _text(view))


@command.command()
@_name
@connected
def enable(session: Session, name: str) -> None:
    """Let the user NAME in again."""
    view = session.client.users.change(name, disabled=False)
    session.show(view, lambda: _text(view))


@command.command()
@_name
@sure
@connected
def delete(session: Session, name: str, yes: bool) -> None:
    """Remove the user NAME with all tokens."""
    confirm(f"Remove {name}?", yes)
    session.client.users.delete(name)
    session.show({"done": True, "what": f"removed {name}"}, f"removed {name}")


_file = click.Path(path_type=Path)


@command.command()
@click.argument("name", required=False, shell_complete=completing.users)
@click.option("--password-file", type=_file, help="the new password (- for standard input)")
@click.option("--current-file", type=_file, help="your present one, to change your own")
@click.option(
    "--keep", multiple=True, metavar="TOKEN", help="the name or id of a token that stays (own only)"
)
@connected
def password(
    session: Session,
    name: str | None,
    password_file: Path | None,
    current_file: Path | None,
    keep: tuple[str, ...],
) -> None:
    """Change your own password; with NAME, set another user's, who must change it then.

    Other sessions end, and all API tokens but those of --keep.
    """
    if name is not None and keep:
        raise UserError(
            "ATL-CLI-029", "a password that you set for another ends all of the user's tokens"
        )
    if name is None:
        current = secret(current_file, "Present password")
        new = secret(password_file, "New password", twice=True)
        session.client.me.password(current, new, keep=keep)
        session.show({"done": True, "what": "password changed"}, "password changed")
        return
    new = secret(password_file, f"New password of {name}", twice=True)
    session.client.users.change(name, password=new)
    session.show({"done": True, "what": f"password of {name} set"}, f"password of {name} set")
