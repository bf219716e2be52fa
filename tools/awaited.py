"""Writes the types of what ``AsyncClient`` offers: ``python -m tools.awaited``.

At run time both clients share the classes of ``atoll.sdk``; a type checker is sent by
``awaited.pyi`` that the results are awaited. A test compares.
"""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from atoll.sdk import resources
from atoll.sdk.binding import Resource
from atoll.sdk.jobs import Job
from tools.common import ROOT

FILE = ROOT / "src" / "atoll" / "sdk" / "awaited.pyi"
_HEAD = '"""What ``AsyncClient`` offers; made by ``tools.awaited``, a test compares."""\n\n'
_USED = {
    "from collections.abc import AsyncIterator, Coroutine",
    "from typing import Any",
    "from atoll.sdk.results import JobState",
    "from atoll.flow.api import views",
    "from atoll.jobs import definition",
}
_STANDARD = ("collections.abc", "typing", "pathlib")


def _inner(annotation: str) -> str:
    """Return what a call or flow brings: ``T`` of ``Call[T]``."""
    return annotation.partition("[")[2].removesuffix("]")


def _result(returns: str, annotation: str) -> str:
    if returns == "items":
        return f"AsyncIterator[{'Any' if annotation.startswith('Call') else 'views.Event'}]"
    handles = {"job": "AsyncJob", "draft": "definition.Job"}
    inner = handles.get(returns) or re.sub(r"(?<![\w.])Job\b", "AsyncJob", _inner(annotation))
    return f"Coroutine[Any, Any, {inner}]"


def _method(name: str, call: Callable[..., Any]) -> Iterator[str]:
    returns, bound = call.offers  # type: ignore[attr-defined]
    signature = inspect.signature(call.__wrapped__)  # type: ignore[attr-defined]
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    rest = list(signature.parameters.values())[bound:]
    # Positional-only would have to come first in all of them.
    own = own.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    made = inspect.Signature([own, *(_plain(entry) for entry in rest)])
    text = str(made).replace("'", "").replace("<default>", "...")
    yield f"    def {name}{text} -> {_result(returns, str(signature.return_annotation))}: ...\n"


class _Default:
    def __repr__(self) -> str:
        return "..."


def _plain(entry: inspect.Parameter) -> inspect.Parameter:
    return entry if entry.default is entry.empty else entry.replace(default=_Default())


def _imports(call: Callable[..., Any]) -> Iterator[str]:
    """Give the imports that the annotations of a call need."""
    build = call.__wrapped__  # type: ignore[attr-defined]
    names = build.__globals__
    for name in set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", " ".join(_annotations(build)))):
        found = names.get(name)
        if found is None or hasattr(builtins, name) or name in ("Call", "Flow", "Job"):
            continue
        if isinstance(found, ModuleType):
            package, _, last = found.__name__.rpartition(".")
            yield f"from {package} import {last}"
        else:
            yield f"from {_home(found, name, build.__module__)} import {name}"


def _annotations(build: Callable[..., Any]) -> Iterator[str]:
    signature = inspect.signature(build)
    yield str(signature.return_annotation)
    yield from (str(entry.annotation) for entry in signature.parameters.values())


def _home(found: object, name: str, default: str) -> str:
    home = getattr(found, "__module__", default)
    top = next((one for one in _STANDARD if home == one or home.startswith(f"{one}.")), home)
    return top if getattr(found, "__name__", "") == name else default


def _calls(kind: type) -> dict[str, Callable[..., Any]]:
    return {name: call for name, call in vars(kind).items() if hasattr(call, "offers")}


def stub() -> str:
    """Return the whole file, as the formatter leaves it but for line breaks."""
    kinds: list[type] = [
        kind
        for kind in vars(resources).values()
        if isinstance(kind, type) and issubclass(kind, Resource) and kind is not Resource
    ]
    every: list[type] = [Job, *kinds]
    imports, body = set(_USED), ""
    for kind in every:
        head = "AsyncJob(JobState)" if kind is Job else kind.__name__
        body += f"\nclass {head}:\n"
        for name, call in _calls(kind).items():
            body += "".join(_method(name, call))
            imports.update(_imports(call))
        if kind is Job:
            body += "    def check(self) -> AsyncJob: ...\n"
    body += "\nclass Resources:\n"
    fields = inspect.getsource(resources.Resources.__init__)
    for name, kind_name in re.findall(r"self\.(\w+) = (\w+)\(client\)", fields):
        body += f"    {name}: {kind_name}\n"
    return _HEAD + "\n".join(sorted(imports)) + "\n" + body


def main() -> None:
    """Write the file."""
    FILE.write_text(stub())


if __name__ == "__main__":
    main()
