"""A kind of trained thing as one declaration: codec, limits, renaming, downloads, card, scorer.

What ends in ``.model`` scores rows or is trained on further; what ends in ``.transform`` changes
columns as they were when it was fitted. Each party holds a part of its own. Registry, predict jobs,
workers and downloads read these declarations and know nothing else of a kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.errors import UserError
from atoll.core.exposure import ROWS, Exposure
from atoll.core.names import Role
from atoll.core.report import Panel
from atoll.core.reveal import Reveal

Floats = npt.NDArray[np.float64]
Roles = Mapping[str, Role]
# What an output may be called before it is known which kind of it comes out.
GENERAL = frozenset({"model", "transform"})


@dataclass(frozen=True)
class Scorer:
    """How rows are scored with a kind of model; it declares what a plan shows.

    ``run(party, part, features, names)`` takes float64[rows, names], NaN for missing, with the
    columns found by name; the guest gets float64[rows], all others None. ``estimate(rows,
    roles)`` is about how many bytes all parties send, ``exposure(rows)`` what scoring so many rows
    exposes, by row. ``roles`` are those that take part. ``check(part)`` raises a ``UserError`` for
    a part that cannot be scored so.
    """

    run: Callable[[Party, Any, Floats, Sequence[str]], Floats | None]
    implementation: str
    trust_model: str
    reveals: tuple[Reveal, ...]
    estimate: Callable[[int, Roles], int]
    roles: frozenset[Role] = frozenset({Role.GUEST, Role.HOST})
    warnings: tuple[str, ...] = ()
    exposure: Callable[[int], tuple[Exposure, ...]] = lambda rows: (Exposure(ROWS, rows),)
    check: Callable[[Any], None] = lambda part: None


def _no_card(part: Any) -> tuple[Panel, ...]:
    return ()


@dataclass(frozen=True)
class ModelKind:
    """All that is known of a kind, ``x.model`` or ``x.transform``, of which x is the component.

    ``parts`` are the classes of a party's part, of this kind alone. ``encode`` gives equal bytes
    for equal parts; ``decode`` raises a ``UserError`` for anything else, and gets at most
    ``most_bytes``. ``party`` and ``columns`` return whose part it is and which columns it needs.
    ``fits(part, roles)`` returns whether these are the parties and roles of its training, as far
    as the part knows them. ``rename(part, names)`` gives parties other ids; None: that cannot be.
    ``media`` is the media type of the encoded form as its owner may download it, empty: never.
    ``card`` is what a person is shown of it. ``scorer`` is how rows are scored, ``scorers`` are all
    ways by the names that a job chooses by (none: ``scorer`` alone). ``origin`` is the digest of
    the package of others that brings the kind. ``alone(part, features)`` returns predictions where
    a part is the whole model: float64[rows], or float64[rows, classes]; None: parts score together.
    ``changes(part, columns)`` is what a transform makes of its columns, float64[rows] each by name,
    NaN for missing: each takes the place of the column of its name, or is a new one (``adds``).
    """

    name: str
    parts: tuple[type, ...]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    most_bytes: int
    party: Callable[[Any], str]
    columns: Callable[[Any], tuple[str, ...]]
    fits: Callable[[Any, Roles], bool]
    rename: Callable[[Any, Mapping[str, str]], Any] | None = None
    media: str = "application/json"
    card: Callable[[Any], tuple[Panel, ...]] = _no_card
    scorer: Scorer | None = None
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    origin: str = ""
    alone: Callable[[Any, Floats], Floats] | None = None
    changes: Callable[[Any, Mapping[str, Floats]], Mapping[str, Floats]] | None = None
    adds: bool = False

    def holds(self, value: Any) -> bool:
        """Return whether a value is a part of this kind."""
        return isinstance(value, self.parts)

    def write(self, part: Any) -> bytes:
        """Return a part as bytes. Errors: TypeError, not one of this kind; ValueError, too big."""
        if not self.holds(part):
            raise TypeError("a value of another type")
        data = self.encode(part)
        if len(data) > self.most_bytes:
            raise ValueError("too large")
        return data

    def read(self, data: bytes) -> Any:
        """Return the part of some bytes. Errors: ATL-MOD-001 too large, those of ``decode``."""
        if len(data) > self.most_bytes:
            raise self.too_large()
        return self.decode(data)

    def too_large(self) -> UserError:
        """Return the refusal of a part that has more than ``most_bytes``."""
        return UserError("ATL-MOD-001", f"a part of kind {self.name!r} is too large")


Kinds = Mapping[str, ModelKind]


def table_of(kinds: Iterable[ModelKind]) -> Kinds:
    """Return kinds by name."""
    return {kind.name: kind for kind in kinds}


def kind_of(value: Any, kinds: Kinds) -> ModelKind | None:
    """Return the kind that a value is a part of; None if it is of none."""
    return next((kind for kind in kinds.values() if kind.holds(value)), None)


def concrete(kind: str, value: Any, kinds: Kinds) -> str:
    """Return the kind of a value that came out as ``kind``, which may be a general one."""
    found = kind_of(value, kinds) if kind in GENERAL else None
    return kind if found is None else found.name


def is_general(kind: str, of: str) -> bool:
    """Return whether ``kind`` is a general one that ``of`` belongs to: ``model``, ``x.model``."""
    return kind in GENERAL and of.endswith(f".{kind}")
