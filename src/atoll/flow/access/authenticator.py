"""Authentication at a node: log in, recognise a token, ask for a permission."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

from sqlalchemy import Connection

from atoll.core.errors import UserError
from atoll.core.random import SecretRandom
from atoll.flow.access import tokens, users
from atoll.flow.access.actors import SYSTEM, Actor
from atoll.flow.access.audit import AuditLog
from atoll.flow.access.errors import DeniedError, ThrottledError, UnauthenticatedError
from atoll.flow.access.passwords import Passwords, check_rules
from atoll.flow.access.permissions import PERMISSIONS, PermissionTable
from atoll.flow.access.throttle import Throttle
from atoll.flow.access.tokens import Token
from atoll.flow.access.users import User
from atoll.flow.store.database import Database

_USED_SECONDS = 60.0
_MOST_SESSIONS = 50
_DAY = 86400.0
# A hash may be replaced while a password is checked: then the new one is checked, too.
_CHECKS = 3

T = TypeVar("T")


@dataclass(frozen=True)
class AccessSettings:
    """How long things hold (seconds, days), and how many failures are free of a wait.

    A session ends ``session_seconds`` after its login, a browser's also when it was not used for
    ``idle_seconds`` (a minute more or less: uses are noted once a minute).
    """

    session_seconds: float = 12 * 3600.0
    idle_seconds: float = 3600.0
    token_days: int = 365
    most_tokens: int = 100
    free_failures: int = 5
    free_failures_of_address: int = 30
    longest_wait_seconds: float = 900.0
    longest_wait_of_address_seconds: float = 60.0


class Login(NamedTuple):
    """A session's token, shown once, and when it ends (seconds since 1970)."""

    token: str
    expires: float


class Authenticator:
    """What everything else in ``access`` is built on: logins, tokens and refusals.

    Unknown users, disabled users and wrong passwords give the same answer after the same work.
    """

    def __init__(
        self,
        database: Database,
        settings: AccessSettings | None = None,
        *,
        passwords: Passwords | None = None,
        random: SecretRandom | None = None,
        wall: Callable[[], float] = time.time,
        permissions: PermissionTable = PERMISSIONS,
    ) -> None:
        self.permissions = permissions
        self._known = frozenset(permissions)
        self.audit = AuditLog(database, wall)
        self._database = database
        self._settings = settings or AccessSettings()
        self._random = random or SecretRandom()
        self._passwords = passwords or Passwords()
        self._wall = wall
        settings = self._settings
        self._by_name = Throttle(
            wall, free=settings.free_failures, longest_seconds=settings.longest_wait_seconds
        )
        # Many people may share an address, so it never waits as long as a name.
        self._by_address = Throttle(
            wall,
            free=settings.free_failures_of_address,
            longest_seconds=settings.longest_wait_of_address_seconds,
        )
        self._used: dict[str, float] = {}

    def login(self, user: str, password: str, *, client: str = "", browser: bool = False) -> Login:
        """Check a password and open a session, perhaps a ``browser``'s. ``client`` is the address
        that asks.

        Errors: ATL-ACC-001 not known, ATL-ACC-004 too many failures.
        """
        now = self._wall()
        secret, made = self._session(tokens.BROWSER if browser else tokens.SESSION, user, now)

        def work(connection: Connection, fresh: str | None) -> None:
            _set_password(connection, user, fresh)
            tokens.drop_expired(connection, user, now)
            _leave_room(connection, user, now)
            tokens.add(connection, made, tokens.digest(secret) or "")
            self.audit.record(connection, user, "session.open", made.id, client=client or None)

        self._with_password(SYSTEM, user, password, client, "login", work)
        return Login(secret, made.expires)

    def authenticate(self, token: str, *, client: str = "", browser: bool = False) -> Actor:
        """Return whose token (or ``browser``'s session) this is, with the roles held now.

        Errors: ATL-ACC-002.
        """
        hashed = tokens.digest(token)
        actor = None
        if hashed is not None:
            actor = self._actor(
                lambda c: tokens.by_hash(c, hashed, self._known), browser=browser, used=True
            )
        if actor is None:
            self.audit.refused(
                "anonymous", "session.use", code="ATL-ACC-002", source=client, client=client or None
            )
            raise _no_token()
        return actor

    def current(self, actor: Actor, connection: Connection | None = None) -> Actor | None:
        """Return an actor with the roles of now, None once its token holds no longer.

        Unlike ``authenticate`` this is no use of the token.
        """
        if not actor.token:
            return actor
        return self._actor(lambda c: tokens.by_id(c, actor.token, self._known), connection)

    def write(
        self,
        actor: Actor,
        permission: str,
        work: Callable[[Connection], T],
        target: str = "",
        *,
        action: str = "",
    ) -> T:
        """Write a change of an actor whose token holds, and may do this, in the same transaction.

        Who was let in may have lost its token or roles since. Nothing is written then. An actor
        without a token is the node's own; without a ``permission`` the token is enough. A refusal
        by ``work`` undoes all and, where an ``action`` is named, leaves an audit line instead.
        Errors: ATL-ACC-002, ATL-ACC-003, ATL-ACC-006, those of ``work``.
        """

        def whole(connection: Connection) -> tuple[Actor | None, T | None]:
            now = self.current(actor, connection)
            allowed = now is not None and _may(now, permission)
            return now, work(connection) if allowed else None

        try:
            now, done = self._database.write(whole)
        except UserError as error:
            if action:
                self.audit.refused(actor.user, action, target, code=error.code)
            raise
        self._require_still(actor, now, permission, target)
        return cast("T", done)

    def confirm(self, actor: Actor, permission: str, target: str = "") -> None:
        """Check that an actor who was let in would be let in now. Errors: those of ``write``."""
        self._require_still(actor, self.current(actor), permission, target)

    def _require_still(self, actor: Actor, now: Actor | None, permission: str, target: str) -> None:
        if now is None:
            self.audit.refused(actor.user, permission or "session.use", target, code="ATL-ACC-002")
            raise _no_token()
        if not _may(now, permission):
            self.require(now, permission, target)

    def _actor(
        self,
        find: Callable[[Connection], Token | None],
        connection: Connection | None = None,
        *,
        browser: bool | None = None,
        used: bool = False,
    ) -> Actor | None:
        now = self._wall()

        def work(connection: Connection) -> tuple[Token, User] | None:
            found = find(connection)
            person = users.find(connection, found.user) if found else None
            if found is None or person is None or person.disabled or not self._holds(found, now):
                return None
            return found, person

        pair = self._database.read(work) if connection is None else work(connection)
        if pair is None or browser not in {None, pair[0].browser}:
            return None
        found, person = pair
        if used:
            self._touch(found, now)
        return Actor(
            user=person.name,
            roles=person.roles,
            scopes=found.scopes,
            token=found.id,
            session=found.session,
            must_change=person.must_change,
            expires=found.expires,
            table=self.permissions,
        )

    def _holds(self, token: Token, now: float) -> bool:
        """Return whether a token has neither expired nor, a browser's, lain idle for too long."""
        last = max(self._used.get(token.id, 0.0), token.used or 0.0, token.created)
        idle = token.browser and now - last > self._settings.idle_seconds
        return token.expires > now and not idle

    def logout(self, actor: Actor) -> None:
        """End the session (or revoke the token) that the actor came with."""

        def work(connection: Connection) -> None:
            tokens.drop(connection, actor.token)
            self.audit.record(connection, actor.user, "session.close", actor.token)

        self._database.write(work)
        self._used.pop(actor.token, None)

    def require(self, actor: Actor | None, permission: str, target: str = "") -> Actor:
        """Return the actor if it may do this; otherwise write an audit line and refuse.

        Errors: ATL-ACC-002 no known user, ATL-ACC-003 not allowed, ATL-ACC-006 the password first.
        """
        if permission not in self.permissions:
            raise KeyError(permission)
        if actor is None:
            self.audit.refused("anonymous", permission, target, code="ATL-ACC-002")
            raise UnauthenticatedError(
                "ATL-ACC-002", "this needs a login", hint="send a token: Authorization: Bearer …"
            )
        if actor.allows(permission):
            return actor
        code = "ATL-ACC-006" if actor.must_change else "ATL-ACC-003"
        self.audit.refused(actor.user, permission, target, code=code)
        if actor.must_change:
            raise DeniedError(
                code, "the password must be changed first", hint="atoll user password"
            )
        raise DeniedError(
            code, f"this needs the permission {permission}", hint=self._who_may(permission)
        )

    def change_password(
        self,
        actor: Actor,
        old: str,
        new: str,
        *,
        keep: Collection[str] = (),
        client: str = "",
    ) -> None:
        """Change the own password; end the user's other sessions, and all API tokens but those
        in ``keep``, by name or id.

        Errors: ATL-ACC-001 the old one is wrong, ATL-ACC-002 the own token ended meanwhile,
        ATL-ACC-004, ATL-ACC-005, ATL-ACC-016 no token is called so, or several (nothing is changed
        then).
        """
        check_rules(new, actor.user)

        def work(connection: Connection, fresh: str | None) -> None:
            kept = [_kept(connection, actor.user, name) for name in sorted(set(keep))]
            _set_password(connection, actor.user, fresh, must_change=False)
            own = {actor.token} if actor.session else set()
            ended = tokens.drop_of(connection, actor.user, but=own.union(kept))
            self.audit.record(
                connection, actor.user, "user.password", actor.user, ended=ended, kept=kept
            )

        self._with_password(actor, actor.user, old, client, "user.password", work, new=new)

    def _with_password(
        self,
        actor: Actor,
        user: str,
        password: str,
        client: str,
        action: str,
        work: Callable[[Connection, str | None], None],
        *,
        new: str | None = None,
    ) -> None:
        """Write a change if a password is right, and the user's still when it is written.

        ``work`` gets the hash of a ``new`` password, or of this one if the one stored is outdated.
        Errors: ATL-ACC-001, ATL-ACC-004, those of ``write``.
        """
        self._admit(user, client)
        for _ in range(_CHECKS):
            found = self._check(user, password, client, action)
            renew = new is not None or self._passwords.outdated(found.password or "")
            fresh = self._passwords.hash(new or password) if renew else None
            whole = partial(_if_unchanged, user=found, work=work, fresh=fresh)
            try:
                written = self.write(actor, "", whole)
            except UserError:
                # Something else was wrong, not the password.
                self._admitted(user, client)
                raise
            if written:
                self._admitted(user, client)
                return
        self._failed(user, found, client, action)
        raise _no_user()

    def _admit(self, user: str, client: str) -> None:
        """Let an attempt through, or refuse it with the time to wait. Errors: ATL-ACC-004."""
        wait = self._by_address.attempt(client) if client else 0.0
        wait = wait or self._by_name.attempt(user)
        if wait:
            self.audit.refused(
                "anonymous", "login", code="ATL-ACC-004", source=client, client=client or None
            )
            raise _throttled(wait)

    def _admitted(self, user: str, client: str) -> None:
        self._by_name.succeeded(user)
        if client:
            # One's own login must not wipe out the traces of one's guesses at others.
            self._by_address.took_back(client)

    def _check(self, user: str, password: str, client: str, action: str) -> User:
        """Return the user if the password is right. Errors: ATL-ACC-001, ATL-ACC-004."""
        found = self._database.read(lambda connection: users.find(connection, user))
        if found is not None and (found.locked_until or 0.0) > self._wall():
            # Memory may have forgotten (a restart); the database has not.
            self._by_name.learn(user, found.failures, found.locked_until or 0.0)
            raise _throttled((found.locked_until or 0.0) - self._wall())
        right = self._passwords.verify(found.password if found else None, password)
        if found is not None and right and not found.disabled:
            return found
        self._failed(user, found, client, action)
        raise _no_user()

    def _failed(self, user: str, found: User | None, client: str, action: str) -> None:
        failures, until = self._by_name.state(user)
        if found is not None:
            values = {"failures": failures, "locked_until": until or None}
            # Not waited for: the answer must not take longer for names that exist.
            self._database.submit(lambda connection: users.change(connection, user, **values))
        # People type passwords into the wrong field, so only names that exist are written down.
        self.audit.refused(
            "anonymous",
            action,
            user if found is not None else "unknown user",
            code="ATL-ACC-001",
            source=client,
            client=client or None,
        )

    def _who_may(self, permission: str) -> str:
        roles = ", ".join(sorted(self.permissions[permission]))
        return f"it comes with the roles: {roles}; a token must also have it among its scopes"

    def _session(self, name: str, user: str, now: float) -> tuple[str, Token]:
        secret = tokens.new_secret(self._random)
        made = Token(
            id=self._identifier(),
            name=name,
            user=user,
            scopes=frozenset(),
            session=True,
            expires=now + self._settings.session_seconds,
            created=now,
        )
        return secret, made

    def _identifier(self) -> str:
        return self._random.bytes(8).hex()

    def _touch(self, token: Token, now: float) -> None:
        """Note the use of a token, once a minute at most and without waiting."""
        last = max(self._used.get(token.id, 0.0), token.used or 0.0)
        if now - last < _USED_SECONDS:
            return
        if len(self._used) > 10_000:
            self._used.clear()
        self._used[token.id] = now
        self._database.submit(lambda connection: tokens.touch(connection, token.id, now))


def _if_unchanged(
    connection: Connection,
    *,
    user: User,
    work: Callable[[Connection, str | None], None],
    fresh: str | None,
) -> bool:
    """Do ``work`` if a user has the password of before still, and may log in."""
    now = users.find(connection, user.name)
    unchanged = now is not None and not now.disabled and now.password == user.password
    if unchanged:
        work(connection, fresh)
    return unchanged


def _set_password(connection: Connection, user: str, fresh: str | None, **changed: Any) -> None:
    if fresh is not None:
        changed["password"] = fresh
    users.change(connection, user, failures=0, locked_until=None, **changed)


def _may(actor: Actor, permission: str) -> bool:
    return not permission or not actor.token or actor.allows(permission)


def _no_user() -> UnauthenticatedError:
    return UnauthenticatedError("ATL-ACC-001", "the user or the password is not known here")


def _no_token() -> UnauthenticatedError:
    return UnauthenticatedError(
        "ATL-ACC-002",
        "the token is unknown, expired or revoked",
        hint="log in again, or make a new token",
    )


def _throttled(wait: float) -> ThrottledError:
    return ThrottledError(
        "ATL-ACC-004",
        "too many failed attempts",
        retry_after=wait,
        hint=f"try again in {max(1, round(wait))} seconds",
    )


def _leave_room(connection: Connection, user: str, now: float) -> None:
    """End the oldest sessions of a user who has too many."""
    held = [token for token in tokens.of_user(connection, user, now) if token.session]
    for token in held[_MOST_SESSIONS - 1 :]:
        tokens.drop(connection, token.id)


__all__ = ["AccessSettings", "Authenticator", "Login"]


def _kept(connection: Connection, user: str, name: str) -> str:
    """Return the id of the one token that a name or an id stands for. Errors: ATL-ACC-016."""
    found = tokens.named(connection, user, name, or_id=True)
    if len(found) != 1:
        raise UserError(
            "ATL-ACC-016",
            f"{'several tokens' if found else 'no token'} of yours match what is to be kept",
            place="keep",
            hint="state the id: atoll token list",
        )
    return found[0]
