"""Tokens as rows: sessions of a login and API tokens of a person. Only their SHA-256 is stored.

``known`` is what may be done at a node: a session's scopes are all of it, and what a token names
beyond it counts for nothing. A token that was made by a token names that one there, too
(``made by ID``), and ends with it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from atoll.core.random import SecretRandom
from atoll.flow.access.permissions import PERMISSIONS
from atoll.flow.store.schema import tokens

PREFIX = "atoll_"
SECRET_BYTES = 32
SESSION = "session"
BROWSER = "browser session"
_SHAPE = re.compile(r"atoll_[A-Za-z0-9_-]{43}")
_IDENTIFIER = re.compile(r"[0-9a-f]{16}")
_WHOLE = ["*"]
_MAKER = "made by "
_KNOWN = frozenset(PERMISSIONS)
_MOST = 200


@dataclass(frozen=True)
class Token:
    """What is known of a token. Times are in seconds since 1970.

    ``maker`` is the id of the API token that made it, if one did.
    """

    id: str
    name: str
    user: str
    scopes: frozenset[str]
    session: bool
    expires: float
    created: float
    used: float | None = None
    maker: str = ""

    @property
    def browser(self) -> bool:
        """Whether it is a browser's: then it counts in a cookie and nowhere else."""
        return self.session and self.name == BROWSER

    def to_dict(self) -> dict[str, Any]:
        """Return what may be shown."""
        return {
            "id": self.id,
            "name": self.name,
            "user": self.user,
            "scopes": sorted(self.scopes),
            "session": self.session,
            "expires": self.expires,
            "created": self.created,
            "used": self.used,
        }


def new_secret(random: SecretRandom) -> str:
    """Return a fresh token: ``atoll_`` and 256 random bits."""
    text = base64.urlsafe_b64encode(random.bytes(SECRET_BYTES)).decode("ascii")
    return PREFIX + text.rstrip("=")


def digest(secret: str) -> str | None:
    """Return the hash by which a token is found; None for what has not a token's form."""
    if not _SHAPE.fullmatch(secret):
        return None
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def add(connection: Connection, token: Token, hashed: str) -> None:
    """Store a token under its hash."""
    maker = [_MAKER + token.maker] if token.maker else []
    scopes = _WHOLE if token.session else sorted(token.scopes) + maker
    connection.execute(
        insert(tokens).values(
            id=token.id,
            name=token.name,
            user=token.user,
            hash=hashed,
            scopes=json.dumps(scopes),
            expires=token.expires,
            created=token.created,
            used=token.used,
        )
    )


def _token(row: Any, known: frozenset[str] = _KNOWN) -> Token:
    scopes = json.loads(row.scopes)
    session = scopes == _WHOLE
    return Token(
        id=row.id,
        name=row.name,
        user=row.user,
        scopes=known if session else known.intersection(scopes),
        session=session,
        expires=row.expires or 0.0,
        created=row.created,
        used=row.used,
        maker=next((s.removeprefix(_MAKER) for s in scopes if s.startswith(_MAKER)), ""),
    )


def by_hash(connection: Connection, hashed: str, known: frozenset[str] = _KNOWN) -> Token | None:
    """Return the token of this hash, or None."""
    row = connection.execute(select(tokens).where(tokens.c.hash == hashed)).first()
    return None if row is None else _token(row, known)


def by_id(connection: Connection, identifier: str, known: frozenset[str] = _KNOWN) -> Token | None:
    """Return the token of this id, or None."""
    if not _IDENTIFIER.fullmatch(identifier):
        return None
    row = connection.execute(select(tokens).where(tokens.c.id == identifier)).first()
    return None if row is None else _token(row, known)


def of_user(
    connection: Connection, user: str, now: float, known: frozenset[str] = _KNOWN
) -> list[Token]:
    """Return a user's tokens that still hold, newest first."""
    query = select(tokens).where(tokens.c.user == user, tokens.c.expires > now)
    query = query.order_by(tokens.c.created.desc(), tokens.c.id).limit(_MOST)
    return [_token(row, known) for row in connection.execute(query)]


def count_of(connection: Connection, user: str) -> int:
    """Return how many tokens of a user are stored."""
    query = select(func.count()).select_from(tokens).where(tokens.c.user == user)
    return int(connection.execute(query).scalar_one())


def touch(connection: Connection, identifier: str, now: float) -> None:
    """Note that a token was used."""
    connection.execute(update(tokens).where(tokens.c.id == identifier).values(used=now))


def drop(connection: Connection, identifier: str) -> None:
    """Delete one token, and what was made by it and by those in turn."""
    ended = {identifier}
    while ended:
        connection.execute(delete(tokens).where(tokens.c.id.in_(ended)))
        made = or_(*(tokens.c.scopes.contains(json.dumps(_MAKER + one)) for one in ended))
        ended = set(connection.execute(select(tokens.c.id).where(made)).scalars())


def drop_of(connection: Connection, user: str, *, but: Collection[str] = ()) -> int:
    """Delete a user's tokens and sessions but for those with these ids; return how many."""
    query = delete(tokens).where(tokens.c.user == user, tokens.c.id.not_in(but))
    return connection.execute(query).rowcount


def named(connection: Connection, user: str, name: str, *, or_id: bool = False) -> list[str]:
    """Return the ids of a user's API tokens of this name, or of this id where that counts, too."""
    called = tokens.c.name == name
    query = select(tokens.c.id).where(
        tokens.c.user == user,
        or_(called, tokens.c.id == name) if or_id else called,
        tokens.c.scopes != json.dumps(_WHOLE),
    )
    return list(connection.execute(query).scalars())


def drop_expired(connection: Connection, user: str, now: float) -> None:
    """Delete a user's tokens that hold no longer."""
    connection.execute(delete(tokens).where(tokens.c.user == user, tokens.c.expires <= now))
