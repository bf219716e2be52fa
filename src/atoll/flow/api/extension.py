"""``Extension``: what a node serves beside its own API, and all that it imports of the API.

Its handlers are those of the API: ``At`` gives the node's services (and nothing else of the node),
``By`` who asks; errors, limits, authorisation, idempotency, audit and figures are the shell's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from atoll.core.errors import InternalError
from atoll.flow.access import PERMISSIONS, PermissionTable, UserRole
from atoll.flow.api.endpoints import OWN, PUBLIC
from atoll.flow.api.guard import At, By
from atoll.flow.api.routing import Options, Routes, bytes_body
from atoll.flow.api.services import Services
from atoll.flow.api.settings import PREFIX
from atoll.flow.api.shaping import items, paged, shape

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Pages:
    """Files of an extension that anyone may read: they hold no data.

    ``folder`` lies in ``package`` and is served at ``at``; ``index`` is its first page. What lies
    in ``immutable`` never changes under its name, so browsers keep it; they ask again for the rest
    (ETag). With ``fallback`` an address without a file (and without an ending) is ``index``, for a
    page that reads its own address. ``policy`` is the Content-Security-Policy.
    """

    package: str
    at: str
    folder: str = "static"
    index: str = "index.html"
    immutable: str = "assets"
    fallback: bool = False
    policy: str = POLICY

    def directory(self) -> Path:
        """Return the folder. Errors: ATL-API-020 it is not there, or not in the package."""
        home = Path(str(files(self.package))).resolve()
        found = (home / self.folder).resolve()
        if not (found / self.index).is_file() or not found.is_relative_to(home):
            raise InternalError(
                "ATL-API-020",
                f"an extension's pages are not in its package: {self.folder}/{self.index}",
                place=self.package,
            )
        return found


@dataclass(frozen=True)
class Extension:
    """What is mounted under a ``name``, checked when the app is made (``mounting``).

    ``routes`` lie below ``prefix`` (as a rule ``/api/v1/NAME``) and their operation ids begin with
    the name; ``permissions`` are ``NAME.action`` with the user roles that hold them; ``about`` goes
    into the API's description.
    """

    name: str
    about: str
    routes: tuple[Routes, ...] = ()
    permissions: PermissionTable = field(default_factory=dict)
    pages: Pages | None = None
    prefix: str = ""

    @property
    def address(self) -> str:
        """The prefix of its routes."""
        return self.prefix or f"{PREFIX}/{self.name}"


def permissions_with(extensions: Iterable[Extension]) -> PermissionTable:
    """Return the table of permissions of a node that mounts these. Errors: ATL-API-020."""
    table: dict[str, frozenset[UserRole]] = dict(PERMISSIONS)
    for extension in extensions:
        for name, roles in extension.permissions.items():
            thing, _, action = name.partition(".")
            known = bool(roles) and all(isinstance(role, UserRole) for role in roles)
            if thing != extension.name or not action.isidentifier() or name in table or not known:
                raise InternalError(
                    "ATL-API-020",
                    f"a permission is {extension.name}.action, is there once, and some role has it",
                    place=f"{extension.name}: {name}",
                )
            table[name] = roles
    return table


__all__ = [
    "OWN",
    "PREFIX",
    "PUBLIC",
    "At",
    "By",
    "Extension",
    "Options",
    "Pages",
    "Routes",
    "Services",
    "bytes_body",
    "items",
    "paged",
    "permissions_with",
    "shape",
]
