"""Boosted trees as a kind of model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atoll.core.names import Role
from atoll.core.report import BarPanel, Panel
from atoll.models.boosting.part import (
    PART_BYTES,
    GuestPart,
    HostPart,
    Part,
    importance,
    part_from_bytes,
    part_to_bytes,
)
from atoll.models.boosting.path_scoring import PATH_REVEALS, path_exposure, path_score
from atoll.models.boosting.paths import check_places
from atoll.models.boosting.scoring import SCORE_REVEALS, score, score_exposure
from atoll.models.kinds import ModelKind, Roles, Scorer

SHOWN = 30
# For each row and host, of some forty trees of depth 3 half of whose splits are the host's: how
# many there are is not known before. Comparison bits of all splits; questions and sides of a path.
_ROW_BYTES = 16
_PATH_ROW_BYTES = 25
_BITS_COST = "one round and splits × rows / 8 bytes with each host"
_PATH_COST = (
    "a round for each level and batch of rows (65,536, or 2^23 / trees) and at most trees × levels "
    "× (levels + 3) / 2 × rows / 8 bytes with each host"
)
_BITS_NOTE = (
    f"scored by `bits`, {_BITS_COST}: the guest gets the side of each row at all of a host's "
    f"splits, also where its path does not pass; `path` takes {_PATH_COST}, and shows the guest "
    "the sides on the path alone, but each host which of its splits a row reaches"
)
_PATH_NOTE = (
    f"scored by `path`, {_PATH_COST}: each host learns which of its splits every row reaches in "
    "each tree, so which rows are alike in other parties' columns as well; `bits` takes "
    f"{_BITS_COST}, and shows hosts nothing, but the guest the sides at all splits"
)


def fits(part: Part, roles: Roles) -> bool:
    """Return whether a part was trained in this role, with those of these parties that it knows."""
    guests = {name for name, role in roles.items() if role == Role.GUEST}
    if isinstance(part, GuestPart):
        return guests == {part.party} and set(part.hosts) == roles.keys() - guests
    return part.party not in guests and guests == {part.guest}


def rename(part: Part, names: Mapping[str, str]) -> Part:
    """Return a part with other party ids."""

    def new(name: str) -> str:
        return names.get(name, name)

    if isinstance(part, GuestPart):
        changes: dict[str, Any] = {"hosts": tuple(new(host) for host in part.hosts)}
    else:
        changes = {"guest": new(part.guest)}
    whole = part.model_dump() | changes | {"party": new(part.party)}
    made: Part = type(part).model_validate(whole)
    return made


def importance_panel(part: Part) -> BarPanel:
    """Return the most important features: by gain where it is known, else by use."""
    found = importance(part)[:SHOWN]
    known = all(line.gain is not None for line in found)
    return BarPanel(
        title="Importance",
        help="a host's split is shown by number: the guest does not know its feature",
        labels=tuple(f"{line.owner} {line.feature}" for line in found),
        values=tuple(
            float(line.gain if known and line.gain is not None else line.count) for line in found
        ),
        value_label="gain" if known else "splits",
    )


def _card(part: Part) -> tuple[Panel, ...]:
    return (importance_panel(part),)


BITS = Scorer(
    run=score,
    implementation="boosting.score",
    trust_model="federated",
    reveals=SCORE_REVEALS,
    estimate=lambda rows, roles: rows * _ROW_BYTES * (len(roles) - 1),
    warnings=(_BITS_NOTE,),
    exposure=score_exposure,
)
PATH = Scorer(
    run=path_score,
    implementation="boosting.path_score",
    trust_model="federated",
    reveals=PATH_REVEALS,
    estimate=lambda rows, roles: rows * _PATH_ROW_BYTES * (len(roles) - 1),
    warnings=(_PATH_NOTE,),
    exposure=path_exposure,
    check=check_places,
)
BOOSTING_MODEL = ModelKind(
    name="boosting.model",
    parts=(GuestPart, HostPart),
    encode=part_to_bytes,
    decode=part_from_bytes,
    most_bytes=PART_BYTES,
    party=lambda part: part.party,
    columns=lambda part: part.columns,
    fits=fits,
    rename=rename,
    card=_card,
    scorer=BITS,
    scorers={"bits": BITS, "path": PATH},
)
