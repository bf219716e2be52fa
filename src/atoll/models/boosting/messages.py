"""Messages of joint scoring: all comparison bits in one round, or those on the rows' paths."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.core.limits import MESSAGE_BYTES
from atoll.core.message import Message, blob, count, integer, text

BATCH_ROWS = 1 << 16
MOST_TREES = 1 << 16
_MODEL = "the model's id, known to both since training"
_ALIGNED = "the number of aligned rows, known to both"
_HELD = "how many splits the host holds, known to both"
_SCORED = "for how many rows comparison bits are sent (each row once)"
_FOLLOWED = "for how many rows the path is shown (each row once)"
_SIDES = "on which side of each split that its path reaches each scored row falls (bytes)"
_REACHED = "which of the host's splits each scored row reaches, in each tree (bytes)"


@dataclass(frozen=True)
class ScoreStart(Message, kind="boosting.score_start", version=1):
    """Guest to host: which model, how many rows and splits."""

    model: str = text(32, opaque=_MODEL)
    rows: int = integer(0, 1 << 40, opaque=_ALIGNED)
    splits: int = integer(0, 1 << 24, opaque=_HELD)


@dataclass(frozen=True)
class ScoreBits(Message, kind="boosting.score_bits", version=2):
    """Host to guest: one bit per split and row of a batch, each split padded to whole bytes.

    ``rows`` is that of the batch in its first message, and 0 in those that follow.
    """

    batch: int = integer(0, 1 << 40, opaque="a running number")
    rows: int = count(BATCH_ROWS, reveals=_SCORED)
    bits: bytes = blob(
        MESSAGE_BYTES - 1024,
        low=0,
        reveals="on which side of each of the host's splits each scored row falls (bytes)",
    )


@dataclass(frozen=True)
class PathStart(Message, kind="boosting.path_start", version=1):
    """Guest to host: which model, how many rows, splits of the host, and trees."""

    model: str = text(32, opaque=_MODEL)
    rows: int = integer(0, 1 << 40, opaque=_ALIGNED)
    splits: int = integer(0, 1 << 24, opaque=_HELD)
    trees: int = integer(0, MOST_TREES, opaque="the number of trees, known to both")


@dataclass(frozen=True)
class PathQuestion(Message, kind="boosting.path_question", version=1):
    """Guest to host: the host's split of one level that each row of a batch reaches in each tree.

    An entry for each row and each tree in which the host has splits at this level: the number of
    the split among these from 1 on, 0 where the row reaches none. ``entries`` are bit planes, the
    lowest first, each padded to whole bytes. ``rows`` as in ``ScoreBits``.
    """

    batch: int = integer(0, 1 << 40, opaque="a running number")
    level: int = integer(0, 64, opaque="the level within the trees, known to both")
    rows: int = count(BATCH_ROWS, reveals=_FOLLOWED)
    entries: bytes = blob(MESSAGE_BYTES - 1024, low=0, reveals=_REACHED)


@dataclass(frozen=True)
class PathSides(Message, kind="boosting.path_sides", version=1):
    """Host to guest: a bit per entry of a question, 0 where nothing was asked; rows as there."""

    batch: int = integer(0, 1 << 40, opaque="a running number")
    level: int = integer(0, 64, opaque="the level within the trees, known to both")
    rows: int = count(BATCH_ROWS, reveals=_SCORED)
    bits: bytes = blob(MESSAGE_BYTES - 1024, low=0, reveals=_SIDES)
