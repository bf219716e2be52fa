"""Components of others: installed by the administrator, approved by digest, loaded at start.

A name from a job is looked up in the catalogue and never imported. What is offered by an installed
distribution but not approved, or is no longer what was approved, stays out of the catalogue, and
the catalogue keeps the reason, with which a job that names it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from typing import NamedTuple

from atoll.components import kinds, verified
from atoll.components.api import Catalogue, Component, KnownComponents, Origin
from atoll.components.catalogue import CATALOGUE
from atoll.components.distributions import GROUP, Offer, installed, normal
from atoll.core.errors import UserError
from atoll.jobs.errors import NotFoundError
from atoll.jobs.schema import Refusal
from atoll.jobs.validation import near

__all__ = ["Offer", "PinnedPackage", "catalogue", "installed", "load", "offer"]


class PinnedPackage(NamedTuple):
    """What an administrator approved for a component's name."""

    distribution: str
    version: str
    digest: str


Approvals = Mapping[str, PinnedPackage | tuple[str, str, str] | str]


def offer(name: str, path: Sequence[str] | None = None) -> Offer:
    """Return what is installed under a component's name, fit to be approved.

    Errors: ATL-CMP-011 nothing is, ATL-CMP-013 it cannot be pinned, ATL-CMP-014 the name is taken.
    """
    offers = installed(path)
    mine = [entry for entry in offers if entry.name == name]
    if not mine:
        raise NotFoundError(
            "ATL-CMP-011",
            f"no installed package offers a component {name!r}",
            hint=near(name, [entry.name for entry in offers]),
        )
    fault = _taken(name, mine) or mine[0].fault
    if fault is not None:
        raise UserError(fault.code, fault.message, place=name, hint=fault.hint)
    return mine[0]


def catalogue(
    approved: Approvals, *, path: Sequence[str] | None = None, ours: Catalogue = CATALOGUE
) -> KnownComponents:
    """Return Atoll's components, the approved ones of others, and why the rest are refused."""
    loaded = load(approved, path=path)
    return KnownComponents({**loaded, **ours}, loaded.refused)


def load(approved: Approvals, *, path: Sequence[str] | None = None) -> KnownComponents:
    """Load the approved components of installed packages; nothing else is imported.

    ``approved`` maps a name to distribution, version and digest, or to the digest alone, which
    covers the other two. Errors never leave here: each becomes the reason of a refusal.
    """
    found: dict[str, Component] = {}
    refused: dict[str, Refusal] = {}
    by_name: dict[str, list[Offer]] = {}
    for entry in installed(path):
        by_name.setdefault(entry.name, []).append(entry)
    for name in sorted({*by_name, *approved}):
        offers = by_name.get(name, [])
        outcome = _admit(name, offers, approved.get(name))
        if isinstance(outcome, Refusal):
            refused[name] = outcome
        else:
            found[name] = outcome
    return KnownComponents(found, refused)


def _admit(
    name: str, offers: Sequence[Offer], approved: PinnedPackage | tuple[str, str, str] | str | None
) -> Component | Refusal:
    if approved is None:
        return Refusal(
            "ATL-CMP-010",
            f"the component {name!r} is installed here, but this node has not approved it",
            f"an administrator may: atoll component approve {name}",
        )
    if not offers:
        return Refusal(
            "ATL-CMP-011",
            f"the component {name!r} was approved, but is not installed",
            "install its package again, or revoke the approval",
        )
    fault = _taken(name, offers) or offers[0].fault
    if fault is not None:
        return fault
    (only,) = offers
    if not _matches(only, approved):
        return Refusal(
            "ATL-CMP-012",
            f"the installed package of the component {name!r} is not the one that was approved",
            "install the approved version, or look at the new one and approve it",
        )
    return _load(only)


def _taken(name: str, offers: Sequence[Offer]) -> Refusal | None:
    if name in CATALOGUE:
        message = f"{name!r} is a component of Atoll's own"
        return Refusal("ATL-CMP-014", message, "rename the one of the package")
    if len(offers) > 1:
        owners = ", ".join(entry.distribution for entry in offers)
        message = f"several packages offer a component {name!r}: {owners}"
        return Refusal("ATL-CMP-014", message, "uninstall all but one")
    return None


def _matches(entry: Offer, approved: PinnedPackage | tuple[str, str, str] | str) -> bool:
    if isinstance(approved, str):
        return entry.digest == approved
    distribution, version, digest = approved
    pinned = (normal(distribution), version, digest)
    return (entry.distribution, entry.version, entry.digest) == pinned


def _load(entry: Offer) -> Component | Refusal:
    if entry.digest is None:
        return _unloadable(entry, "it has no digest")
    try:
        verified.install(entry.digest, entry.modules, entry.files)
        point = metadata.EntryPoint(entry.name, entry.value, GROUP)
        if point.module.partition(".")[0] not in entry.modules:
            return _unloadable(entry, "its entry point lies in another package")
        made = point.load()
    except verified.OccupiedError:
        return _unloadable(entry, "another version of it is loaded; start the node again")
    except Exception as error:
        # What the package states may hold anything, so only the kind of error is sent.
        return _unloadable(entry, f"a {type(error).__name__} while it was imported")
    if not isinstance(made, Component) or made.name != entry.name:
        return _unloadable(entry, "its entry point is no component of this name")
    wrong = [kind for kind in made.outputs.values() if not kinds.known(kind)]
    if wrong:
        return _unloadable(entry, "one of its outputs has a kind that cannot be stored")
    own_kinds = made.model_kinds
    if not all(
        kinds.known(kind.name) and kind.name.startswith(f"{made.name}.") for kind in own_kinds
    ):
        return _unloadable(entry, "it brings a kind of model that is not called after it")
    return replace(
        made,
        origin=Origin(entry.distribution, entry.version, entry.digest),
        model_kinds=tuple(replace(kind, origin=entry.digest) for kind in own_kinds),
    )


def _unloadable(entry: Offer, reason: str) -> Refusal:
    return Refusal(
        "ATL-CMP-015",
        f"the component {entry.name!r} of {entry.distribution} cannot be loaded: {reason}",
        "look at the node's log, and ask its author",
    )
