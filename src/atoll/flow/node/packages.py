"""The components of a node: Atoll's own, and approved packages of others.

What is installed is looked up, never imported; an approval pins it by digest, and only then is it
loaded. Workers get the approvals with each task and check them again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from atoll.components import plugins
from atoll.components.api import Component, KnownComponents
from atoll.components.distributions import Offer
from atoll.flow.access import Access, Actor
from atoll.flow.store import Database
from atoll.flow.store.components import ComponentRow, Components
from atoll.flow.store.paging import MOST, every
from atoll.jobs.errors import ConflictError, NotFoundError
from atoll.jobs.schema import Refusal
from atoll.jobs.validation import near


class Packages:
    """What jobs may use here, and who approved it. ``path`` is for tests: where packages lie."""

    def __init__(
        self,
        database: Database,
        access: Access,
        *,
        wall: Callable[[], float] = time.time,
        path: Sequence[str] | None = None,
    ) -> None:
        self._rows = Components(database)
        self._access = access
        self._wall = wall
        self._path = path
        self._lock = threading.Lock()
        self._approved = self._read()
        self._known = plugins.catalogue(self._approved, path=path)

    def catalogue(self) -> KnownComponents:
        """Return the components, and why others are refused."""
        return self._known

    def approved(self) -> dict[str, str]:
        """Return the digest of each approved component of others."""
        return dict(self._approved)

    def _read(self) -> dict[str, str]:
        rows = every(lambda after: self._rows.list(limit=MOST, after=after))
        return {row.name: row.digest for row in rows if row.revoked is None}

    def _renew(self) -> None:
        with self._lock:
            self._approved = self._read()
            self._known = plugins.catalogue(self._approved, path=self._path)

    # -- people's questions -----------------------------------------------------------------------

    def list(self) -> Sequence[Mapping[str, Any]]:
        """Return Atoll's components and those of installed packages, by name."""
        offers = {entry.name: entry for entry in plugins.installed(self._path)}
        known = self._known
        names = sorted({*known, *known.refused, *offers})
        return [self._view(name, known, offers.get(name)) for name in names]

    def get(self, name: str) -> Mapping[str, Any]:
        """Return a component with the schema of its parameters.

        One that is refused here is shown with its digest and the reason, without parameters.
        Errors: ATL-NOD-030 there is none.
        """
        known = self._known
        found = known.get(name)
        if found is not None:
            return own_view(found) | {"parameters": found.parameters.model_json_schema()}
        offer = self._offer(name)
        if offer is None and name not in known.refused:
            names = [*known, *known.refused]
            raise NotFoundError(
                "ATL-NOD-030", f"there is no component {name!r}", place=name, hint=near(name, names)
            )
        return self._view(name, known, offer)

    def _offer(self, name: str) -> Offer | None:
        found = [entry for entry in plugins.installed(self._path) if entry.name == name]
        return found[0] if found else None

    def approve(self, name: str, digest: str, actor: Actor) -> Mapping[str, Any]:
        """Approve an installed package's component, if ``digest`` is that of what is installed.

        Errors: ATL-CMP-011 none is installed, ATL-CMP-012 it has another digest, ATL-CMP-013 and
        014 it cannot be pinned or its name is taken.
        """
        found = plugins.offer(name, self._path)
        if found.digest is None or found.digest != digest:
            raise ConflictError(
                "ATL-CMP-012",
                "what is installed has another digest than the one to approve",
                place=name,
                hint=f"it is {found.digest}: look at it again, then approve that",
            )
        row = ComponentRow(
            name=name,
            distribution=found.distribution,
            version=found.version,
            digest=found.digest,
            approved_by=actor.user,
            time=self._wall(),
        )

        def work(connection: Any) -> None:
            self._rows.approve(row, connection=connection)
            self._note(connection, actor, "component.approve", found)

        self._access.write(actor, "component.approve", work, name)
        self._renew()
        return self._view(name, self._known, found)

    def revoke(self, name: str, digest: str, actor: Actor) -> Mapping[str, Any]:
        """Withdraw an approval: from now on no job may use the component here.

        ``digest`` is the approved one or that of what is installed now. Errors: ATL-NOD-030
        nothing is approved under this name and digest.
        """
        row, offer = self._rows.find(name), self._offer(name)
        shown = {row.digest if row else None, offer.digest if offer else None}
        if row is None or row.revoked is not None or digest not in shown:
            raise NotFoundError(
                "ATL-NOD-030", "no component of this name and digest is approved", place=name
            )

        def work(connection: Any) -> None:
            self._rows.revoke(name, self._wall(), connection=connection)
            self._note(connection, actor, "component.revoke", row)

        self._access.write(actor, "component.approve", work, name)
        self._renew()
        return self._view(name, self._known, offer)

    def _note(self, connection: Any, actor: Actor, action: str, of: Offer | ComponentRow) -> None:
        self._access.audit.record(
            connection,
            actor.user,
            action,
            of.name,
            distribution=of.distribution,
            version=of.version,
            digest=of.digest,
        )

    def _view(self, name: str, known: KnownComponents, offer: Offer | None) -> dict[str, Any]:
        found = known.get(name)
        if found is not None:
            return own_view(found)
        view = refused_view(name, offer, known.refused.get(name))
        # Of a package that is gone, only the approval can be named.
        return view if offer is not None else view | {"digest": self._approved.get(name)}


def own_view(component: Component) -> dict[str, Any]:
    """Return what is shown of a component that jobs may use."""
    origin = component.origin
    return {
        "name": component.name,
        "version": component.version,
        "approved": True,
        "distribution": None if origin is None else f"{origin.distribution} {origin.version}",
        "digest": None if origin is None else origin.digest,
        "roles": sorted(role.value for role in component.roles),
        "inputs": {
            name: {
                "kind": port.kind,
                "kinds": list(port.kinds),
                "optional": port.optional,
                "many": port.many,
                "purpose": port.purpose.value,
            }
            for name, port in component.inputs.items()
        },
        "outputs": dict(component.outputs),
        "description": (component.parameters.__doc__ or "").strip().split("\n")[0],
    }


def refused_view(name: str, offer: Offer | None, refusal: Refusal | None) -> dict[str, Any]:
    """Return what is shown of a component that is installed or approved, but not used."""
    refusal = refusal if offer is None else offer.fault or refusal
    return {
        "name": name,
        "version": "" if offer is None else offer.version,
        "approved": False,
        "distribution": None if offer is None else f"{offer.distribution} {offer.version}",
        "digest": None if offer is None else offer.digest,
        "roles": [],
        "inputs": {},
        "outputs": {},
        "description": "" if refusal is None else f"{refusal.code}: {refusal.message}",
    }
