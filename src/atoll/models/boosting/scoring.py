"""Joint scoring: hosts send one bit per split and row, the guest walks the trees.

One round per call, whatever the number of rows: hosts stream batches, the guest only listens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.cost import Cost, Edge
from atoll.core.errors import PeerError, UserError
from atoll.core.exposure import ROWS, Exposure
from atoll.core.names import Role
from atoll.core.reveal import Reveal
from atoll.models.boosting.messages import BATCH_ROWS, PathStart, ScoreBits, ScoreStart
from atoll.models.boosting.part import GUEST, LEAF, GuestPart, HostPart, Part, Split, Tree
from atoll.models.columns import ColumnMatch, match_columns

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SCORE_REVEALS = (
    Reveal(
        Role.HOST,
        Role.GUEST,
        ScoreBits.kind,
        "rows",
        "rows * min(host_splits, 1)",
        "for how many rows comparison bits are sent (each row once)",
    ),
    Reveal(
        Role.HOST,
        Role.GUEST,
        ScoreBits.kind,
        "bits",
        "host_splits * ceil_div(rows, 8)",
        "on which side of each of the host's splits each scored row falls (bytes)",
    ),
)
_BUDGET = 32 << 20
# Of one host; so many splits as fit 32 MiB go in one message.
SCORE_COST = Cost(
    "min(rows * host_splits, 1)",
    (
        Edge("guest", "host", "0", "1"),
        Edge(
            "host",
            "guest",
            "host_splits * ceil_div(rows, 8)",
            "(rows // 65536) * ceil_div(host_splits, 4096) + min(rows - (rows // 65536) * 65536, 1)"
            " * ceil_div(host_splits, 33554432 // max(ceil_div(rows - (rows // 65536) * 65536, 8),"
            " 1))",
        ),
    ),
)


def score_exposure(rows: int) -> tuple[Exposure, ...]:
    """Return what scoring so many rows exposes, by row: all of a host's bits to the guest."""
    bits = ScoreBits.kind
    return (Exposure(ROWS, rows, Role.HOST, Role.GUEST, message=bits, field="rows"),)


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
    found = read_rows(data, splits, rows)
    if found is None:
        text = "the comparison bits have another size than agreed, or other padding than zeros"
        raise PeerError("ATL-MOD-004", text)
    return found


def read_rows(data: bytes, splits: int, rows: int) -> Bools | None:
    """Read what ``pack_rows`` wrote; None unless size and padding are exact."""
    width = -(-rows // 8)
    if len(data) != splits * width:
        return None
    raw = np.frombuffer(data, dtype=np.uint8).reshape(splits, width)
    bits = np.unpackbits(raw, axis=1, bitorder="little")
    return None if bits[:, rows:].any() else bits[:, :rows].view(np.bool_)


def score(party: Party, part: Part, features: Floats, names: Sequence[str]) -> Floats | None:
    """Score aligned rows together: the guest gets float64[rows] probabilities, hosts None.

    ``features`` is float64[rows, names], NaN for missing; ``names`` are those of its columns, in
    any order and more than the part's columns if need be.
    Reveals: ``SCORE_REVEALS``, to the guest only; a host learns the number of rows.
    Errors: ATL-MOD-002 parts of different models, ATL-MOD-003 columns missing, ATL-MOD-004.
    """
    match = matched(party, part, features, names)
    if isinstance(part, GuestPart):
        return _guest(party, part, features, match)
    _host(party, part, features, match)
    return None


def matched(party: Party, part: Part, features: Floats, names: Sequence[str]) -> ColumnMatch:
    """Return where a part's columns are. Errors: ATL-MOD-002 and ATL-MOD-003, as ``score``."""
    if part.party != party.name:
        raise UserError("ATL-MOD-002", "this part belongs to another party")
    if features.ndim != 2 or features.shape[1] != len(names):
        raise UserError("ATL-MOD-003", "each column of the features needs a name")
    if isinstance(part, GuestPart) and set(part.hosts) != set(party.hosts):
        raise UserError("ATL-MOD-002", "the model was trained with other hosts")
    return match_columns(part.columns, names)


def check_start(part: HostPart, features: Floats, start: ScoreStart | PathStart) -> None:
    """Hold what the guest begins with against a host's own. Errors: ATL-MOD-002, ATL-MOD-003."""
    if start.model != part.model or start.splits != len(part.splits):
        raise PeerError("ATL-MOD-002", "the guest scores with a part of another model")
    if start.rows != features.shape[0]:
        raise PeerError("ATL-MOD-003", "the parties hold different numbers of rows to score")


def _guest(party: Party, part: GuestPart, features: Floats, match: ColumnMatch) -> Floats:
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
    count = rows
    for size in _pieces(splits, rows):
        message = party.channel.receive(host, "score", ScoreBits)
        if (message.batch, message.rows) != (batch, count):
            raise PeerError("ATL-MOD-004", "a batch of comparison bits is out of turn", party=host)
        parts.append(unpack_rows(message.bits, size, rows))
        count = 0
    return np.concatenate([np.empty((0, rows), dtype=np.bool_), *parts])


def _pieces(splits: int, rows: int) -> list[int]:
    most = max(1, _BUDGET // max(1, -(-rows // 8)))
    return [min(most, splits - begin) for begin in range(0, splits, most)]


def _host(party: Party, part: HostPart, features: Floats, match: ColumnMatch) -> None:
    start = party.channel.receive(part.guest, "score", ScoreStart)
    check_start(part, features, start)
    for batch, begin in enumerate(range(0, start.rows, BATCH_ROWS)):
        party.cancel.check()
        block = match.take(features[begin : begin + BATCH_ROWS])
        first, count = 0, len(block)
        for size in _pieces(start.splits, len(block)):
            bits = pack_rows(goes_left(part.splits[first : first + size], block))
            party.channel.send(part.guest, "score", ScoreBits(batch, count, bits))
            first, count = first + size, 0


def probability(margin: Floats) -> Floats:
    """Return 1 / (1 + exp(-margin)), computed without overflow."""
    small = np.exp(-np.abs(margin))
    return np.where(margin >= 0, 1.0, small) / (1.0 + small)


__all__ = ["GUEST", "SCORE_REVEALS", "goes_left", "margins", "probability", "score"]
