"""Boosted trees of several parties: parts as data, importance, joint scoring."""

from atoll.models.boosting.part import (
    GuestPart,
    HostPart,
    Importance,
    Part,
    Split,
    Tree,
    importance,
    part_from_bytes,
    part_to_bytes,
)
from atoll.models.boosting.scoring import SCORE_REVEALS, score

__all__ = [
    "SCORE_REVEALS",
    "GuestPart",
    "HostPart",
    "Importance",
    "Part",
    "Split",
    "Tree",
    "importance",
    "part_from_bytes",
    "part_to_bytes",
    "score",
]
