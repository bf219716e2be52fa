"""Puts the API and its extensions together, and refuses what does not go together at the start."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Mount, Route

from atoll.core.errors import InternalError
from atoll.flow.access import PermissionTable
from atoll.flow.api.endpoints import OWN, PUBLIC, Endpoint
from atoll.flow.api.extension import Extension, permissions_with
from atoll.flow.api.guard import GuardedRoute
from atoll.flow.api.pages import StaticPages, to_the_first
from atoll.flow.api.routing import Routes
from atoll.flow.api.settings import PREFIX

_NAME = re.compile(r"[a-z][a-z0-9]{0,31}")
_ADDRESS = re.compile(r"(/[a-z0-9][a-z0-9._-]*)+")


@dataclass(frozen=True)
class Mounted:
    """What an app serves: its routes, what each place declares, and what roles may do."""

    routes: tuple[BaseRoute, ...]
    endpoints: Mapping[str, Endpoint]
    permissions: PermissionTable
    tags: tuple[Mapping[str, str], ...]


def mount(own: Sequence[Routes], extensions: Sequence[Extension] = ()) -> Mounted:
    """Put routes together. Errors: ATL-API-009 a permission, ATL-API-020 an extension."""
    permissions = permissions_with(extensions)
    guarded = [route for routes in own for route in routes.routes]
    _check_names(extensions, guarded)
    for extension in extensions:
        guarded += _checked(extension)
    endpoints = _once(guarded)
    known = permissions.keys() | {PUBLIC, OWN}
    unknown = sorted(one.place for one in endpoints.values() if one.permission not in known)
    if unknown:
        raise InternalError("ATL-API-009", f"routes name no permission that there is: {unknown}")
    pages = [route for extension in extensions for route in _pages(extension)]
    tags = tuple({"name": one.name, "description": one.about} for one in extensions)
    return Mounted((*guarded, *pages), endpoints, permissions, tags)


def _refused(extension: Extension, reason: str, place: str = "") -> InternalError:
    where = f"{extension.name}: {place}" if place else extension.name
    return InternalError("ATL-API-020", f"an extension cannot be mounted: {reason}", place=where)


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def _check_names(extensions: Sequence[Extension], own: Sequence[GuardedRoute]) -> None:
    """Check that names and addresses are each extension's own."""
    resources = {_resource(route.declared.path) for route in own} | {"docs"}
    names, taken = set(resources), [PREFIX]
    for extension in extensions:
        if not _NAME.fullmatch(extension.name) or extension.name in names:
            raise _refused(extension, "its name is no word, or taken")
        names.add(extension.name)
        for address in _addresses(extension):
            is_api = address == extension.address and address.startswith(f"{PREFIX}/")
            others = taken[1:] if is_api else taken
            overlap = any(_below(address, one) or _below(one, address) for one in others)
            ours = is_api and _resource(address) in resources
            if not _ADDRESS.fullmatch(address) or overlap or ours:
                raise _refused(extension, "its address is none, or taken", address)
            taken.append(address)


def _resource(path: str) -> str:
    return path.removeprefix(f"{PREFIX}/").split("/")[0]


def _addresses(extension: Extension) -> list[str]:
    routes = [extension.address] if extension.routes or extension.prefix else []
    return routes + ([extension.pages.at] if extension.pages else [])


def _checked(extension: Extension) -> Iterator[GuardedRoute]:
    for route in (route for routes in extension.routes for route in routes.routes):
        if not _below(route.declared.path, extension.address):
            raise _refused(extension, "a route lies outside its address", route.declared.place)
        if not route.unique_id.startswith(f"{extension.name}_"):
            raise _refused(extension, "an operation id begins with its name", route.unique_id)
        yield route


def _once(guarded: Sequence[GuardedRoute]) -> Mapping[str, Endpoint]:
    """Return the endpoints by place. Errors: ATL-API-009 a place or operation id twice."""
    places: dict[str, Endpoint] = {}
    shapes, operations = set[str](), set[str]()
    for route in guarded:
        place = route.declared.place
        shape = re.sub(r"\{[^}]*\}", "{}", place)
        if shape in shapes or route.unique_id in operations:
            raise InternalError("ATL-API-009", f"an address is there twice: {place}")
        shapes.add(shape)
        operations.add(route.unique_id)
        places[place] = route.declared
    return places


def _pages(extension: Extension) -> list[BaseRoute]:
    if extension.pages is None:
        return []
    at, served = extension.pages.at, StaticPages(extension.name, extension.pages)
    return [Route(at, to_the_first(at), include_in_schema=False), Mount(at, app=served)]
