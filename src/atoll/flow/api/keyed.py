"""Digests as they are shown to users who may not see what they are of.

Whoever knows most of a table could try the rest against its digest. Those who may not see its
values are therefore shown a keyed form: the same for equal contents at this node, as long as the
node keeps its key, and of no use without it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from fastapi import Request

from atoll.flow.access import Actor
from atoll.flow.api import views

# Longer ones are signatures, which can be tried against a digest as well.
_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64,}(?![0-9a-f])")
_VALUES = "data.preview"
_OUTPUTS = "artifact.read"


class Keyed:
    """HMAC-SHA-256 of digests under a secret of the node."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def digest(self, digest: str) -> str:
        """Return the keyed form of a digest, as long as it (hexadecimal)."""
        return hmac.digest(self._secret, digest.encode(), hashlib.sha256).hex()

    def within(self, text: str) -> str:
        """Return a text with the keyed form of each digest and signature in it."""
        return _DIGEST.sub(lambda found: self.digest(found[0]), text)


def _of(request: Request) -> Keyed:
    keyed: Keyed = request.app.state.keyed
    return keyed


def table(request: Request, by: Actor, view: views.DataView) -> views.DataView:
    """Return a table's facts as a user may see them."""
    if by.allows(_VALUES):
        return view
    return view.model_copy(update={"digest": _of(request).digest(view.digest)})


def check(by: Actor, view: views.CheckView) -> views.CheckView:
    """Return what a look at a file found as a user may see it: extremes are values of rows."""
    if by.allows(_VALUES):
        return view
    without = {"minimum": None, "maximum": None}
    columns = tuple(column.model_copy(update=without) for column in view.columns)
    return view.model_copy(update={"columns": columns})


def artifacts(request: Request, by: Actor, view: views.ArtifactList) -> views.ArtifactList:
    """Return a job's artifacts as a user may see them."""
    if by.allows(_OUTPUTS):
        return view
    keyed = _of(request)
    shown = (one.model_copy(update={"digest": keyed.digest(one.digest)}) for one in view.items)
    return view.model_copy(update={"items": tuple(shown)})


def log(request: Request, by: Actor, view: views.Log) -> views.Log:
    """Return a step's log as a user may see it: it states the digests of outputs."""
    if by.allows(_OUTPUTS):
        return view
    keyed = _of(request)
    shown = (one.model_copy(update={"message": keyed.within(one.message)}) for one in view.items)
    return view.model_copy(update={"items": tuple(shown)})


def model(request: Request, by: Actor, view: views.ModelView) -> views.ModelView:
    """Return a model as a user may see it; the plan's digest is that of its job, which all see."""
    if by.allows(_OUTPUTS):
        return view
    keyed = _of(request)
    lineage = _deep(keyed, view.lineage)
    if "plan" in lineage:
        lineage["plan"] = view.lineage["plan"]
    return view.model_copy(update={"digest": keyed.digest(view.digest), "lineage": lineage})


def _deep(keyed: Keyed, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {keyed.within(name): _deep(keyed, entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_deep(keyed, entry) for entry in value]
    return keyed.within(value) if isinstance(value, str) else value
