"""Digests of the code that a step runs, so that an approval names the code too."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path

import atoll
from atoll.components.api import Component
from atoll.core import codec
from atoll.core.errors import InternalError
from atoll.crypto.levels import source_digest

_SUFFIXES = {".py", ".json"}
# The floors that compute, and what runs a task; what a node does around it may differ.
_COMPUTING = (
    "core",
    "report",
    "channel",
    "crypto",
    "jobs",
    "table",
    "models",
    "tee",
    "correlations",
    "mpc",
    "operators",
    "privacy",
    "learning",
    "incentives",
    "components",
    "flow/work",
)


@functools.cache
def code_digest(packages: tuple[str, ...]) -> str:
    """Return the SHA-256 over the code and measured data of packages or modules of Atoll.

    Errors: ATL-INT-001 if one is not there.
    """
    whole = hashlib.sha256(b"atoll/code/v1\0")
    root = Path(atoll.__file__).parent
    for package in sorted(packages):
        for path in _files(package):
            whole.update(f"{path.relative_to(root)}\0".encode())
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


@functools.cache
def platform_digest() -> str:
    """Return the SHA-256 over all of ours that computes: Python on these floors, and the sources
    of the native library.

    Equal sources give equal digests on every machine. It is the word of who states it: a party
    that lies about its code states the digest of honest code.
    """
    whole = hashlib.sha256(b"atoll/platform/v1\0" + bytes.fromhex(source_digest()))
    root = Path(atoll.__file__).parent
    for package in _COMPUTING:
        for path in _below(root / package):
            whole.update(f"{path.relative_to(root).as_posix()}\0".encode())
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def component_code(component: Component) -> str:
    """Return the SHA-256 over the code that a component runs.

    One of ours counts with its own module; one of others with its distribution's digest and with
    the parts of Atoll that it names.
    """
    ours = tuple(name for name in component.sources if _is_ours(name))
    origin = component.origin
    if origin is None:
        module = component.run.__module__
        return code_digest((*ours, module) if _is_ours(module) else ours)
    pinned = [origin.distribution, origin.version, origin.digest, code_digest(ours)]
    return codec.digest(["atoll/component-code/v1", pinned])


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "atoll"


def _files(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise InternalError("ATL-INT-001", f"the package {package} is missing")
    origin = Path(spec.origin)
    if origin.name != "__init__.py":
        return [origin]
    return _below(origin.parent)


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES)
