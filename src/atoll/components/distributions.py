"""Installed distributions that offer components, and one digest over the files of each.

The digest covers name, version, entry points and every installed file but byte code and what the
installer itself wrote, so the same wheel has the same digest on every machine and however it was
installed. What a distribution depends on is not covered: pin those where you install.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

from atoll.core import codec
from atoll.jobs.schema import Refusal

GROUP = "atoll.components"
FILES = 20_000
BYTES = 1 << 29

_RESERVED = frozenset({"atoll", "atoll_native", *sys.stdlib_module_names})


@dataclass(frozen=True)
class Offer:
    """A component in an installed distribution; ``digest`` is None if there is a ``fault``.

    ``files`` maps each covered file's place to its SHA-256.
    """

    name: str
    value: str
    distribution: str
    version: str
    digest: str | None
    fault: Refusal | None
    files: Mapping[str, str]
    modules: frozenset[str]


@dataclass(frozen=True)
class _Contents:
    digest: str | None
    fault: Refusal | None
    files: Mapping[str, str]
    modules: frozenset[str]


class _Unfit(Exception):
    """Why a distribution cannot be pinned."""


def installed(path: Sequence[str] | None = None) -> tuple[Offer, ...]:
    """Return every component that distributions on ``sys.path`` (or ``path``) offer, by name.

    Nothing of them is imported. A distribution that cannot be pinned is listed with its fault.
    """
    seen: set[str] = set()
    found: list[Offer] = []
    for distribution in metadata.distributions(path=sys.path if path is None else list(path)):
        name = normal(distribution.metadata["Name"] or "")
        # Python imports the first one on the path, so later ones do not count.
        if not name or name in seen:
            continue
        seen.add(name)
        entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
        if entries:
            found += _offers(name, distribution, entries)
    return tuple(sorted(found, key=lambda offer: (offer.name, offer.distribution)))


def normal(name: str) -> str:
    """Return a distribution's name in the one form that stands for all its spellings."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _offers(
    name: str, distribution: metadata.Distribution, entries: Sequence[metadata.EntryPoint]
) -> Iterator[Offer]:
    version = distribution.version or ""
    try:
        contents = _read(name, version, distribution)
    except _Unfit as reason:
        contents = _Contents(None, _fault(name, str(reason)), {}, frozenset())
    except OSError as error:
        reason_text = f"a file cannot be read ({error.strerror})"
        contents = _Contents(None, _fault(name, reason_text), {}, frozenset())
    for entry in entries:
        yield Offer(
            name=entry.name,
            value=entry.value,
            distribution=name,
            version=version,
            digest=contents.digest,
            fault=contents.fault,
            files=contents.files,
            modules=contents.modules,
        )


def _fault(name: str, reason: str) -> Refusal:
    return Refusal(
        "ATL-CMP-013",
        f"the distribution {name} cannot be pinned: {reason}",
        "build a wheel and install that",
    )


def _read(name: str, version: str, distribution: metadata.Distribution) -> _Contents:
    _refuse_editable(distribution)
    files: dict[str, str] = {}
    listed: list[list[str]] = []
    modules: set[str] = set()
    total = 0
    for path in _covered(distribution):
        place = Path(str(distribution.locate_file(path.as_posix()))).resolve()
        if not place.is_file():
            raise _Unfit(f"{path} is listed, but not there")
        total += place.stat().st_size
        if total > BYTES or len(files) >= FILES:
            raise _Unfit("it is too large")
        with place.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files[str(place)] = digest
        listed.append([path.as_posix(), digest])
        if path.suffix == ".pth":
            raise _Unfit("it runs code when Python starts (.pth)")
        modules.add(path.parts[0].partition(".")[0])
    taken = sorted(modules & _RESERVED)
    if taken:
        raise _Unfit(f"it would replace {taken[0]}")
    whole = ["atoll/distribution/v1", name, version, sorted(listed)]
    return _Contents(codec.digest(whole), None, files, frozenset(modules))


def _refuse_editable(distribution: metadata.Distribution) -> None:
    if distribution.read_text("RECORD") is None:
        raise _Unfit("its installer left no list of files")
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        editable = bool(origin.get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError) as error:
        raise _Unfit("its direct_url.json is damaged") from error
    if editable:
        raise _Unfit("it is installed for editing, so its code can change at any time")


def _covered(distribution: metadata.Distribution) -> Iterator[PurePosixPath]:
    """Yield the files that count: all but byte code, scripts and the installer's own notes."""
    for listed in distribution.files or ():
        path = PurePosixPath(listed.as_posix())
        if path.is_absolute():
            raise _Unfit("it lists files at absolute places")
        if path.parts[0] == ".." or path.suffix == ".pyc":
            continue  # outside of the import path; byte code is never run
        if path.parts[0].endswith(".dist-info") and path.name != "entry_points.txt":
            continue
        if ".." in path.parts:
            raise _Unfit("it lists files at winding places")
        yield path
