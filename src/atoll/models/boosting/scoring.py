"""Joint scoring: hosts send one bit per split and row, the guest walks the trees.

One round per call, whatever the number of rows: hosts stream batches, the guest only listens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.errors import PeerError, UserError
from atoll.core.names import Role
from atoll.core.reveal import Reveal
from atoll.models.boosting.messages import BATCH_ROWS, ScoreBits, ScoreStart
from atoll.models.boosting.part import GUEST, LEAF, GuestPart, HostPart, Part, Split, Tree
from atoll.models.columns import ColumnMatch, match_columns

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SCORE_REVEALS = (
    Reveal(
        Role.HOST,
        Role.GUEST,
        ScoreBits.kind,
        "bits",
        "host_splits * (rows // 65536) * 8192 + host_splits * ceil_div(rows - "
        "(rows // 65536) * 65536, 8)",
        "on which side of each of the host's splits each scored row falls (bytes)",
    ),
)
_BUDGET = 32 << 20


def goes_left(splits: tuple[Split, ...], features: Floats) -> Bools:
    """Return bool[splits, rows]: which rows go left at each split."""
    bits = np.empty((len(splits), features.shape[0]), dtype=np.bool_)
    for number, split in enumerate(splits):
        column = features[:, split.column]
        np.less(column, split.threshold, out=bits[number])
        if split.missing_left:
            bits[number] |= np.isnan(column)
    return bits


def tree_leaves(tree: Tree, bits: Bools, offsets: list[int]) -> npt.NDArray[np.int64]:
    """Return the leaf that each row reaches; ``offsets[owner] + split`` is a row of ``bits``."""
    own = np.arange(len(tree.owner))
    owner = np.array(tree.owner)
    leaf = owner == LEAF
    test = np.where(leaf, 0, np.array(offsets)[np.maximum(owner, 0)] + np.array(tree.split))
    left = np.where(leaf, own, tree.left)
    right = np.where(leaf, own, tree.right)
    rows = np.arange(bits.shape[1])
    at = np.zeros(bits.shape[1], dtype=np.int64)
    while not leaf[at].all():
        at = np.where(bits[test[at], rows], left[at], right[at])
    return at


def margins(part: GuestPart, bits: Bools) -> Floats:
    """Return the log-odds of each row from the bits of all splits: guest's first, then hosts'."""
    offsets = split_offsets(part)
    total = np.full(bits.shape[1], part.base_margin)
    for tree in part.trees:
        total += np.array(tree.weight)[tree_leaves(tree, bits, offsets)]
    return total


def split_offsets(part: GuestPart) -> list[int]:
    """Return where the splits of each owner begin: guest, then hosts in order."""
    sizes = (len(part.splits), *part.host_splits)
    return [sum(sizes[:owner]) for owner in range(len(sizes))]


def pack_rows(bits: Bools) -> bytes:
    """Pack bool[splits, rows] into bytes, each split padded with zeros to whole bytes."""
    return np.packbits(bits, axis=1, bitorder="little").tobytes()


def unpack_rows(data: bytes, splits: int, rows: int) -> Bools:
    """Read what ``pack_rows`` wrote. Errors: ATL-MOD-004 unless size and padding are exact."""
    width = -(-rows // 8)
    if len(data) != splits * width:
        raise PeerError("ATL-MOD-004", "the comparison bits have another size than agreed")
    raw = np.frombuffer(data, dtype=np.uint8).reshape(splits, width)
    bits = np.unpackbits(raw, axis=1, bitorder="little")
    if bits[:, rows:].any():
        raise PeerError("ATL-MOD-004", "the comparison bits are padded with other than zeros")
    return bits[:, :rows].view(np.bool_)


def score(party: Party, part: Part, features: Floats, names: Sequence[str]) -> Floats | None:
    """Score aligned rows together: the guest gets float64[rows] probabilities, hosts None.

    ``features`` is float64[rows, names], NaN for missing; ``names`` are those of its columns, in
    any order and more than the part's columns if need be.
    Reveals: ``SCORE_REVEALS``, to the guest only; a host learns the number of rows.
    Errors: ATL-MOD-002 parts of different models, ATL-MOD-003 columns missing, ATL-MOD-004.
    """
    if part.party != party.name:
        raise UserError("ATL-MOD-002", "this part belongs to another party")
    if features.ndim != 2 or features.shape[1] != len(names):
        raise UserError("ATL-MOD-003", "each column of the features needs a name")
    match = match_columns(part.columns, names)
    if isinstance(part, GuestPart):
        return _guest(party, part, features, match)
    _host(party, part, features, match)
    return None


def _guest(party: Party, part: GuestPart, features: Floats, match: ColumnMatch) -> Floats:
    if set(part.hosts) != set(party.hosts):
        raise UserError("ATL-MOD-002", "the model was trained with other hosts")
    rows = features.shape[0]
    for host, splits in zip(part.hosts, part.host_splits, strict=True):
        party.channel.send(host, "score", ScoreStart(part.model, rows, splits))
    out = np.empty(rows)
    for batch, begin in enumerate(range(0, rows, BATCH_ROWS)):
        party.cancel.check()
        end = min(rows, begin + BATCH_ROWS)
        blocks = [goes_left(part.splits, match.take(features[begin:end]))]
        for host, splits in zip(part.hosts, part.host_splits, strict=True):
            blocks.append(_receive(party, host, batch, splits, end - begin))
        out[begin:end] = margins(part, np.concatenate(blocks))
    return probability(out)


def _receive(party: Party, host: str, batch: int, splits: int, rows: int) -> Bools:
    parts: list[Bools] = []
    for size in _pieces(splits, rows):
        message = party.channel.receive(host, "score", ScoreBits)
        if message.batch != batch:
            raise PeerError("ATL-MOD-004", "a batch of comparison bits is out of turn", party=host)
        parts.append(unpack_rows(message.bits, size, rows))
    return np.concatenate([np.empty((0, rows), dtype=np.bool_), *parts])


def _pieces(splits: int, rows: int) -> list[int]:
    most = max(1, _BUDGET // max(1, -(-rows // 8)))
    return [min(most, splits - begin) for begin in range(0, splits, most)]


def _host(party: Party, part: HostPart, features: Floats, match: ColumnMatch) -> None:
    start = party.channel.receive(part.guest, "score", ScoreStart)
    if start.model != part.model or start.splits != len(part.splits):
        raise PeerError("ATL-MOD-002", "the guest scores with a part of another model")
    if start.rows != features.shape[0]:
        raise PeerError("ATL-MOD-003", "the parties hold different numbers of rows to score")
    for batch, begin in enumerate(range(0, start.rows, BATCH_ROWS)):
        party.cancel.check()
        block = match.take(features[begin : begin + BATCH_ROWS])
        first = 0
        for size in _pieces(start.splits, block.shape[0]):
            bits = goes_left(part.splits[first : first + size], block)
            party.channel.send(part.guest, "score", ScoreBits(batch, pack_rows(bits)))
            first += size


def probability(margin: Floats) -> Floats:
    """Return 1 / (1 + exp(-margin)), computed without overflow."""
    small = np.exp(-np.abs(margin))
    return np.where(margin >= 0, 1.0, small) / (1.0 + small)


__all__ = ["GUEST", "SCORE_REVEALS", "goes_left", "margins", "probability", "score"]
