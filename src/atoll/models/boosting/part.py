"""The parts of a vertically trained boosted-tree model: one for the guest, one for each host.

The guest's part holds the trees' structure, the leaf weights and its own splits; a host's split
appears in it as (owner, number) only. A host's part holds what each of its numbers means. A part
is stored as JSON whose schema is the class below; nothing in it names code.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from atoll.core.errors import UserError

LEAF = -1
GUEST = 0
PART_BYTES = 256 << 20


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Split(_Data):
    """A test of one column: a row goes left if its value is below the threshold.

    A missing value goes left if ``missing_left``, else right. A host's split states its place:
    ``tree``, and ``node`` in it, which is 0 for the root and 2i + 1, 2i + 2 for the children of i
    (None: a model from before hosts kept it).
    """

    column: int = Field(ge=0, description="index into the part's columns")
    threshold: FiniteFloat
    missing_left: bool = False
    tree: int | None = Field(default=None, ge=0, lt=1 << 16)
    node: int | None = Field(default=None, ge=0, lt=1 << 62)


class Tree(_Data):
    """One tree as parallel arrays over its nodes; node 0 is the root, children follow parents.

    ``owner`` is -1 for a leaf, 0 for the guest, 1 + i for the i-th host; ``split`` counts within
    its owner; ``weight`` is what a leaf adds to the margin, learning rate included; ``gain`` is
    what a split brought in training and ``rows`` the training rows that it divided.
    """

    owner: tuple[int, ...]
    split: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    weight: tuple[FiniteFloat, ...]
    gain: tuple[FiniteFloat, ...]
    rows: tuple[int, ...]

    @model_validator(mode="after")
    def _is_a_tree(self) -> Self:
        count = len(self.owner)
        columns = (self.split, self.left, self.right, self.weight, self.gain, self.rows)
        if count == 0 or any(len(column) != count for column in columns):
            raise ValueError("the arrays of a tree differ in length")
        reached = [0]
        for node, owner in enumerate(self.owner):
            if owner != LEAF:
                children = (self.left[node], self.right[node])
                if min(children) <= node:
                    raise ValueError("a child comes before its parent")
                reached.extend(children)
        if sorted(reached) != list(range(count)):
            raise ValueError("the nodes do not form one tree")
        return self


class GuestPart(_Data):
    """What the label holder keeps: structure, leaf weights, its own splits.

    ``base_margin`` is the log-odds from which every row starts; ``host_splits`` states how many
    splits each host holds, in the order of ``hosts``.
    """

    kind: Literal["boosting.guest"] = "boosting.guest"
    version: Literal[1] = 1
    model: str = Field(pattern="^[0-9a-f]{32}$")
    party: str
    hosts: tuple[str, ...]
    columns: tuple[str, ...]
    base_margin: FiniteFloat
    splits: tuple[Split, ...]
    host_splits: tuple[int, ...]
    trees: tuple[Tree, ...]

    @model_validator(mode="after")
    def _refers_to_splits(self) -> Self:
        if len(self.host_splits) != len(self.hosts):
            raise ValueError("one number of splits for each host")
        _check_columns(self.splits, self.columns)
        sizes = (len(self.splits), *self.host_splits)
        for tree in self.trees:
            for owner, split in zip(tree.owner, tree.split, strict=True):
                if owner != LEAF and not (0 <= owner < len(sizes) and 0 <= split < sizes[owner]):
                    raise ValueError("a node names a split that no party holds")
        return self


class HostPart(_Data):
    """What a feature provider keeps: the meaning of each of its split numbers."""

    kind: Literal["boosting.host"] = "boosting.host"
    version: Literal[1] = 1
    model: str = Field(pattern="^[0-9a-f]{32}$")
    party: str
    guest: str
    columns: tuple[str, ...]
    splits: tuple[Split, ...]

    @model_validator(mode="after")
    def _refers_to_columns(self) -> Self:
        _check_columns(self.splits, self.columns)
        return self


def _check_columns(splits: tuple[Split, ...], columns: tuple[str, ...]) -> None:
    if any(split.column >= len(columns) for split in splits):
        raise ValueError("a split tests a column that does not exist")


Part = GuestPart | HostPart
_ANY: TypeAdapter[Part] = TypeAdapter(Annotated[Part, Field(discriminator="kind")])


def part_to_bytes(part: Part) -> bytes:
    """Return the part as JSON with sorted keys: equal parts have equal bytes."""
    plain = part.model_dump(mode="json", exclude_none=True)
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def part_from_bytes(data: bytes) -> Part:
    """Read a part that ``part_to_bytes`` wrote. Errors: ATL-MOD-001 for anything else."""
    if len(data) > PART_BYTES:
        raise UserError("ATL-MOD-001", "the model part is too large")
    try:
        return _ANY.validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise UserError(
            "ATL-MOD-001",
            f"this is not a part of a boosted model: {first['msg']}",
            place=".".join(str(step) for step in first["loc"]),
        ) from None


class Importance(_Data):
    """How much a feature, or a host's split of unknown feature, contributed.

    ``gain`` is None where the party does not know it (at hosts).
    """

    owner: str
    feature: str
    count: int
    gain: float | None


def importance(part: Part) -> tuple[Importance, ...]:
    """Return the importance of what this part knows, the largest first.

    The guest sees its own columns by name and each host split as ``#number``; a host sees how
    often each of its columns was used.
    """
    found: dict[tuple[str, str], list[float]] = {}
    if isinstance(part, HostPart):
        for split in part.splits:
            found.setdefault((part.party, part.columns[split.column]), []).append(0.0)
    else:
        for tree in part.trees:
            for owner, split_id, gain in zip(tree.owner, tree.split, tree.gain, strict=True):
                if owner == GUEST:
                    name = part.columns[part.splits[split_id].column]
                    found.setdefault((part.party, name), []).append(gain)
                elif owner != LEAF:
                    found.setdefault((part.hosts[owner - 1], f"#{split_id}"), []).append(gain)
    known = isinstance(part, GuestPart)
    lines = [
        Importance(owner=o, feature=f, count=len(gains), gain=sum(gains) if known else None)
        for (o, f), gains in found.items()
    ]
    return tuple(sorted(lines, key=lambda line: (-(line.gain or 0.0), -line.count, line.feature)))
