"""``Access``: authentication, and the administration of users and tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection

from atoll.core.errors import UserError
from atoll.flow.access import tokens, users
from atoll.flow.access.actors import SYSTEM, Actor
from atoll.flow.access.authenticator import Authenticator
from atoll.flow.access.errors import ConflictError, DeniedError, NotFoundError
from atoll.flow.access.passwords import check_rules
from atoll.flow.access.permissions import PERMISSIONS, ROLES, PermissionTable, UserRole
from atoll.flow.access.tokens import Token
from atoll.flow.access.users import User
from atoll.flow.store.paging import MOST, Page

FIRST = "admin"
_DAY = 86400.0
_NAME = 256


class Access(Authenticator):
    """Users, sessions, tokens and permissions of a node, over its database.

    Each change checks the actor's permission itself, is one transaction with its audit line, and
    holds from the next call on, also for sessions that are open.
    """

    def bootstrap(self) -> str | None:
        """Make the first user, ``admin`` with every role, where there is none.

        Returns the generated password, to be printed once; it must be changed at the first login.
        """
        password = self._passwords.generate()
        hashed = self._passwords.hash(password)
        first = User(
            FIRST,
            frozenset(ROLES),
            must_change=True,
            created=self._wall(),
            password=hashed,
        )

        def work(connection: Connection) -> bool:
            if users.any_user(connection):
                return False
            users.insert_user(connection, first)
            self.audit.record(connection, SYSTEM.user, "user.add", FIRST, roles=list(ROLES))
            return True

        return password if self._database.write(work) else None

    def users(self, actor: Actor, *, after: str | None = None, limit: int = MOST) -> Page[User]:
        """Return a page of users by name. Needs ``user.read``."""
        self.require(actor, "user.read")
        return self._database.read(lambda connection: users.list_page(connection, after, limit))

    def user(self, actor: Actor, name: str) -> User:
        """Return a user; oneself without ``user.read``. Errors: ATL-ACC-008."""
        if actor.user != name:
            self.require(actor, "user.read", name)
        return self._database.read(lambda connection: users.get(connection, name))

    def add_user(
        self, actor: Actor, name: str, roles: Iterable[str], password: str | None = None
    ) -> str | None:
        """Add a user who must change the password at the first login; return it if generated.

        Errors: ATL-ACC-003, ATL-ACC-005, ATL-ACC-007, ATL-ACC-010.
        """
        self.require(actor, "user.write", name)
        made = User(
            users.check_name(name),
            users.check_roles(roles),
            must_change=True,
            created=self._wall(),
        )
        generated, hashed = self._new_password(name, password)
        made = replace(made, password=hashed)

        def work(connection: Connection) -> None:
            users.insert_user(connection, made)
            self.audit.record(connection, actor.user, "user.add", name, roles=made.roles)

        self.write(actor, "user.write", work, name, action="user.add")
        return generated

    def set_roles(self, actor: Actor, name: str, roles: Iterable[str]) -> User:
        """Give a user other roles, from the next call on. Errors: ATL-ACC-008 to ATL-ACC-010."""
        self.require(actor, "user.write", name)
        held = users.check_roles(roles)

        def work(connection: Connection) -> User:
            before = users.get(connection, name)
            if UserRole.ADMINISTRATOR not in held:
                users.keep_an_administrator(connection, without=name)
            users.change(connection, name, roles=held)
            self.audit.record(
                connection, actor.user, "user.roles", name, roles=held, before=before.roles
            )
            return replace(before, roles=held)

        return self.write(actor, "user.write", work, name, action="user.roles")

    def set_disabled(self, actor: Actor, name: str, disabled: bool) -> User:
        """Lock a user out and revoke all tokens, or let the user in again.

        Errors: ATL-ACC-008, ATL-ACC-009.
        """
        self.require(actor, "user.write", name)
        action = "user.disable" if disabled else "user.enable"

        def work(connection: Connection) -> User:
            found = users.get(connection, name)
            if disabled:
                users.keep_an_administrator(connection, without=name)
                tokens.drop_of(connection, name)
            users.change(connection, name, disabled=disabled, failures=0, locked_until=None)
            self.audit.record(connection, actor.user, action, name)
            return replace(found, disabled=disabled, locked_until=None)

        found = self.write(actor, "user.write", work, name, action=action)
        self._by_name.succeeded(name)
        return found

    def reset_password(self, actor: Actor, name: str, password: str | None = None) -> str | None:
        """Set or generate a password that must be changed, and revoke all of the user's tokens.

        Also ends a lock-out. Errors: ATL-ACC-005, ATL-ACC-008.
        """
        self.require(actor, "user.write", name)
        generated, hashed = self._new_password(name, password)

        def work(connection: Connection) -> None:
            users.get(connection, name)
            users.change(
                connection,
                name,
                password=hashed,
                must_change=True,
                failures=0,
                locked_until=None,
            )
            ended = tokens.drop_of(connection, name)
            self.audit.record(connection, actor.user, "user.reset", name, ended=ended)

        self.write(actor, "user.write", work, name, action="user.reset")
        self._by_name.succeeded(name)
        return generated

    def remove_user(self, actor: Actor, name: str) -> None:
        """Remove a user with all tokens; the audit log keeps the name. Errors: ATL-ACC-008, 009."""
        self.require(actor, "user.write", name)

        def work(connection: Connection) -> None:
            users.get(connection, name)
            users.keep_an_administrator(connection, without=name)
            tokens.drop_of(connection, name)
            users.remove(connection, name)
            self.audit.record(connection, actor.user, "user.remove", name)

        self.write(actor, "user.write", work, name, action="user.remove")

    def create_token(
        self, actor: Actor, name: str, scopes: Iterable[str], *, days: float
    ) -> tuple[str, Token]:
        """Make an API token of the actor's own, for some of its permissions; show it once.

        A token that makes a token cannot give it a longer life than its own: it ends with it.
        Errors: ATL-ACC-010 unknown scope, ATL-ACC-011 its life or number, ATL-ACC-014 more than
        the actor may, ATL-ACC-017 the actor has one of this name.
        """
        self.require(actor, "token.write", name)
        wanted, expires = self._check_token(actor, name, frozenset(scopes), days)
        secret = tokens.new_secret(self._random)
        made = Token(
            id=self._identifier(),
            name=name,
            user=actor.user,
            scopes=wanted,
            session=False,
            expires=expires,
            created=self._wall(),
            maker="" if actor.session else actor.token,
        )

        def work(connection: Connection) -> None:
            tokens.drop_expired(connection, actor.user, self._wall())
            if tokens.count_of(connection, actor.user) >= self._settings.most_tokens:
                raise ConflictError(
                    "ATL-ACC-011", "there are too many tokens", hint="delete some that are not used"
                )
            if tokens.named(connection, actor.user, name):
                raise ConflictError(
                    "ATL-ACC-017",
                    "you have a token of this name",
                    place="name",
                    hint="choose another name, or revoke it first: atoll token list",
                )
            tokens.add(connection, made, tokens.digest(secret) or "")
            self.audit.record(
                connection, actor.user, "token.add", made.id, scopes=wanted, expires=expires
            )

        self.write(actor, "token.write", work, name, action="token.add")
        return secret, made

    def _check_token(
        self, actor: Actor, name: str, wanted: frozenset[str], days: float
    ) -> tuple[frozenset[str], float]:
        if not wanted or not wanted <= self.permissions.keys():
            raise UserError("ATL-ACC-010", "there is no such scope, or none", place="scopes")
        named = 0 < len(name) <= _NAME and name.isprintable()
        if not 0 < days <= self._settings.token_days or not named:
            raise UserError(
                "ATL-ACC-011",
                f"a token has a name and lives more than 0 and at most "
                f"{self._settings.token_days} days",
                place="days",
            )
        if not wanted <= actor.permissions:
            more = sorted(wanted - actor.permissions)
            self.audit.refused(actor.user, "token.add", code="ATL-ACC-014", scopes=more)
            raise DeniedError(
                "ATL-ACC-014",
                f"a token cannot have more than its owner: {', '.join(more)}",
                place="scopes",
            )
        expires = self._wall() + days * _DAY
        return wanted, expires if actor.session else min(expires, actor.expires)

    def tokens(self, actor: Actor, user: str | None = None) -> list[Token]:
        """Return the tokens and sessions of oneself, or with ``user.read`` of another."""
        name = user or actor.user
        if name != actor.user:
            self.require(actor, "user.read", name)
        now = self._wall()
        found = self._database.read(lambda c: tokens.of_user(c, name, now, self._known))
        return [token for token in found if self._holds(token, now)]

    def revoke_token(self, actor: Actor, identifier: str) -> None:
        """Revoke a token or session of one's own; another's needs ``user.write``.

        Errors: ATL-ACC-012 there is none (or it is another's).
        """

        def work(connection: Connection) -> None:
            found = tokens.by_id(connection, identifier)
            mine = found is not None and found.user == actor.user
            if found is None or not (mine or actor.allows("user.write")):
                raise NotFoundError("ATL-ACC-012", "there is no such token", place="id")
            tokens.drop(connection, identifier)
            self.audit.record(connection, actor.user, "token.remove", identifier, owner=found.user)

        self.require(actor, "token.write", identifier)
        self.write(actor, "token.write", work, identifier, action="token.remove")

    def _new_password(self, name: str, password: str | None) -> tuple[str | None, str]:
        """Return a generated password, if none was given, and the hash. Errors: ATL-ACC-005."""
        if password is not None:
            check_rules(password, name)
            return None, self._passwords.hash(password)
        generated = self._passwords.generate()
        return generated, self._passwords.hash(generated)


def local_actor(table: PermissionTable = PERMISSIONS) -> Actor:
    """Return who asks where access control is off: someone on this machine, with every role."""
    return Actor("local", frozenset(ROLES), table=table)


__all__ = ["FIRST", "Access", "local_actor"]
