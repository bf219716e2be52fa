"""Messages of joint scoring."""

from __future__ import annotations

from dataclasses import dataclass

from atoll.core.limits import MESSAGE_BYTES
from atoll.core.message import Message, blob, integer, text

BATCH_ROWS = 1 << 16


@dataclass(frozen=True)
class ScoreStart(Message, kind="boosting.score_start", version=1):
    """Guest to host: which model, how many rows and splits."""

    model: str = text(32, opaque="the model's id, known to both since training")
    rows: int = integer(0, 1 << 40, opaque="the number of aligned rows, known to both")
    splits: int = integer(0, 1 << 24, opaque="how many splits the host holds, known to both")


@dataclass(frozen=True)
class ScoreBits(Message, kind="boosting.score_bits", version=1):
    """Host to guest: one bit per split and row of a batch, each split padded to whole bytes."""

    batch: int = integer(0, 1 << 40, opaque="a running number")
    bits: bytes = blob(
        MESSAGE_BYTES - 1024,
        low=0,
        reveals="on which side of each of the host's splits each scored row falls (bytes)",
    )
