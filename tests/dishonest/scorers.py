"""Two parties with parts of one model and rows of their own, for lies in joint scoring."""

from __future__ import annotations

from typing import Any

import numpy as np

from atoll.channel.party import Party
from atoll.core.names import Role
from atoll.models.boosting import GuestPart, HostPart
from atoll.models.boosting.messages import PathStart
from tests.models.grown import features, grown

ROLES = {"bank": Role.GUEST, "shop": Role.HOST}
ROWS, TREES, DEPTH = 40, 6, 4


def models(seed: int = 3, guest: float = 0.4) -> tuple[GuestPart, HostPart]:
    part, hosts = grown(np.random.default_rng(seed), ("shop",), TREES, DEPTH, guest=guest, leaf=0.1)
    return part, hosts["shop"]


def rows(seed: int = 3) -> dict[str, Any]:
    return features(np.random.default_rng(seed + 1), ("bank", "shop"), ROWS)


def started(party: Party, part: GuestPart, count: int = ROWS, trees: int = TREES) -> None:
    party.channel.send("shop", "score", PathStart(part.model, count, part.host_splits[0], trees))
