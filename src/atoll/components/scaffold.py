"""Writes a new package with one component: parameters, messages, roles, declared reveals, tests.

The shape sets who takes part: a guest and hosts (``pair``), an aggregator and clients (``star``),
a guest, a host and an arbiter, or the same with a helper without a table. ``model`` brings a kind
of model of its own, ``transform`` what was fitted and is applied in predict jobs.
"""

from __future__ import annotations

import re
import shutil
from importlib import resources
from pathlib import Path

from atoll.components.catalogue import CATALOGUE
from atoll.core.errors import UserError
from atoll.jobs.errors import EnvironmentFault

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")
SHAPES = ("pair", "star", "arbiter", "helper", "model", "transform")
_COMMON = {"pyproject.toml.txt": "pyproject.toml", "README.md.txt": "README.md"}
_ENDING = ".py.txt"


def write(name: str, folder: Path, shape: str = "pair") -> list[Path]:
    """Write the package of a component called ``name`` into a new folder; return its files.

    The result runs and passes its own tests as it is. Errors: ATL-CMP-016 the name is none or is
    taken, there is no such shape, the folder is there already or cannot be written.
    """
    if shape not in SHAPES:
        raise _refused("there is no such shape", shape)
    if not _NAME.fullmatch(name):
        raise _refused(
            "a component's name is a lower-case letter, then letters, digits, - or _", name
        )
    if name in CATALOGUE:
        raise _refused("this is the name of one of Atoll's own components", name)
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise _refused("the folder is there already", str(folder))
    package = f"atoll_{name.replace('-', '_')}"
    words = {"name": name, "package": package, "distribution": package.replace("_", "-")}
    words["intro"] = _filled(f"{shape}/intro.md.txt", words)
    places = _COMMON | _places(shape)
    made = {
        folder / place.format(package=package): _filled(template, words)
        for template, place in places.items()
    }
    fresh = not folder.exists()
    try:
        for path, text in made.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        raise EnvironmentFault(
            "ATL-CMP-016", f"the package cannot be written: {error.strerror}", place=str(folder)
        ) from error
    return sorted(made)


def _places(shape: str) -> dict[str, str]:
    """Return where each template of a shape goes."""
    found = {}
    for file in resources.files("atoll.components").joinpath("template", shape).iterdir():
        name = file.name.removesuffix(_ENDING)
        if name != file.name:
            place = "__init__" if name == "init" else name
            folder = "tests" if name == "test_component" else "src/{package}"
            found[f"{shape}/{file.name}"] = f"{folder}/{place}.py"
    return found


def _filled(template: str, words: dict[str, str]) -> str:
    file = resources.files("atoll.components").joinpath("template", *template.split("/"))
    text = file.read_text("utf-8")
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", value)
    return text


def _refused(message: str, place: str) -> UserError:
    return UserError("ATL-CMP-016", message, place=place, hint="choose another one")
