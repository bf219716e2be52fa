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
from atoll.models.boosting.path_scoring import PATH_COST, PATH_REVEALS, path_score
from atoll.models.boosting.scoring import SCORE_COST, SCORE_REVEALS, score

__all__ = [
    "PATH_COST",
    "PATH_REVEALS",
    "SCORE_COST",
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
    "path_score",
    "score",
]
