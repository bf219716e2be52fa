"""Packages with components: the example, built and installed, and small ones written by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from atoll.components import verified
from atoll.components.distributions import installed

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "component"


def build(source: Path, folder: Path) -> Path:
    """Build a wheel without network, in a copy so that the source stays clean."""
    copy = folder / "source"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "dist"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=copy, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    return wheel


def unpack(wheel: Path, target: Path) -> Path:
    """Install a wheel of plain Python as the wheel format says: unpack it."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def installer() -> Path | None:
    """Return uv, where it is there."""
    found = shutil.which("uv")
    own = ROOT / ".do" / "uv" / "bin" / "uv"
    if found is not None:
        return Path(found)
    return own if own.exists() else None


def install(wheel: Path, target: Path) -> Path:
    """Install a wheel with uv, else by unpacking it."""
    uv = installer()
    if uv is None:
        return unpack(wheel, target)
    command = [str(uv), "pip", "install", "--offline", "--no-deps", "--no-config", "--quiet"]
    command += ["--python", sys.executable, "--target", str(target), str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return target


COMPONENT = '''
from pydantic import BaseModel
from atoll.components.api import Component, Result, Terms

class Parameters(BaseModel):
    """None."""

COMPONENT = Component(
    {name!r}, "1", Parameters, lambda task, parameters: Result(), lambda facts, p: Terms(), ()
)
'''


def write(
    target: Path,
    *,
    name: str = "own",
    module: str = "own_package",
    distribution: str = "own-package",
    files: Mapping[str, str] | None = None,
    listed: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
    record: bool = True,
) -> Path:
    """Write an installed distribution; ``listed`` adds lines to its RECORD, ``notes`` files."""
    info = target / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    texts = {f"{module}/__init__.py": COMPONENT.format(name=name), **(files or {})}
    about = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
    entry = f"[atoll.components]\n{name} = {module}:COMPONENT\n"
    inner = {"METADATA": about, "entry_points.txt": entry, **(notes or {})}
    texts |= {f"{info.name}/{file}": text for file, text in inner.items()}
    lines = []
    for place, text in texts.items():
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        lines.append(f"{place},sha256={digest.decode()},{len(text)}")
    lines += [f"{place},{rest}" for place, rest in (listed or {}).items()]
    if record:
        (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,"]) + "\n")
    return target


def editable() -> str:
    return json.dumps({"url": "file:///somewhere", "dir_info": {"editable": True}})


@contextmanager
def on_path(monkeypatch: pytest.MonkeyPatch, *targets: Path) -> Iterator[list[str]]:
    """Let Python import from folders for a while, and forget what it imported."""
    for target in targets:
        monkeypatch.syspath_prepend(str(target))
    places = [str(target) for target in targets]
    digests = [offer.digest for offer in installed(places)]
    try:
        yield places
    finally:
        for digest in digests:
            verified.uninstall(str(digest))
