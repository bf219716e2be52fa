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
from atoll.models.boosting.scoring import SCORE_REVEALS, score
from atoll.models.kinds import ModelKind, Roles, Scorer

SHOWN = 30
# Comparison bits of a host's splits for each row; how many splits there are is not known before.
_ROW_BYTES = 16


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
    scorer=Scorer(
        run=score,
        implementation="boosting.score",
        trust_model="federated",
        reveals=SCORE_REVEALS,
        estimate=lambda rows, roles: rows * _ROW_BYTES * (len(roles) - 1),
    ),
)
