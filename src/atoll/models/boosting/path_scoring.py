"""Joint scoring level by level: hosts send the sides of the splits that a row's path reaches.

For each batch of rows and each level of the trees at which a host has splits, the guest asks and
the host answers: all rows, all trees and all hosts of a level together. The sizes follow from the
model and the number of rows; there are no decoys, since one that a host could not distinguish from
a question would get the guest a side that it has no use for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from atoll.channel.party import Party
from atoll.core.cost import Cost, Edge
from atoll.core.errors import PeerError
from atoll.core.exposure import ROWS, Exposure
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.core.reveal import Reveal
from atoll.models.boosting.messages import PathQuestion, PathSides, PathStart
from atoll.models.boosting.part import GuestPart, HostPart, Part
from atoll.models.boosting.paths import GuestPaths, HostPaths, batch_rows, not_on_path
from atoll.models.boosting.scoring import check_start, matched, pack_rows, probability, read_rows
from atoll.models.columns import ColumnMatch

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# Batch, level, and the rows that come up for the first time.
Question = tuple[int, int, int]


def _reveal(sender: Role, receiver: Role, kind: type[Message], name: str, size: str) -> Reveal:
    return Reveal(sender, receiver, kind.kind, name, size, dict(kind.specs())[name].reveals or "")


# Of a host: ``planes`` and ``entries`` are the bits of all its questions about one row, and how
# many sides answer them; ``levels`` are those at which it has splits.
PATH_REVEALS = (
    _reveal(Role.GUEST, Role.HOST, PathQuestion, "rows", "rows * min(levels, 1)"),
    _reveal(Role.GUEST, Role.HOST, PathQuestion, "entries", "planes * ceil_div(rows, 8)"),
    _reveal(Role.HOST, Role.GUEST, PathSides, "rows", "rows * min(levels, 1)"),
    _reveal(Role.HOST, Role.GUEST, PathSides, "bits", "entries * ceil_div(rows, 8)"),
)
# ``batch`` is ``batch_rows`` of the trees.
PATH_COST = Cost(
    "levels * ceil_div(rows, batch)",
    (
        Edge("guest", "host", "planes * ceil_div(rows, 8)", "1 + levels * ceil_div(rows, batch)"),
        Edge("host", "guest", "entries * ceil_div(rows, 8)", "levels * ceil_div(rows, batch)"),
    ),
)


def path_exposure(rows: int) -> tuple[Exposure, ...]:
    """Return what scoring so many rows exposes, by row: to the guest, and to each host."""
    asked, sides = PathQuestion.kind, PathSides.kind
    return (
        Exposure(ROWS, rows, Role.HOST, Role.GUEST, message=sides, field="rows"),
        Exposure(ROWS, rows, Role.GUEST, Role.HOST, message=asked, field="rows"),
    )


def path_score(party: Party, part: Part, features: Floats, names: Sequence[str]) -> Floats | None:
    """Score aligned rows as ``scoring.score`` does, bit for bit, in a round for each level.

    Reveals: ``PATH_REVEALS``. A host refuses what lies on no path, so a guest that lies gets the
    sides along one path of the host's own splits in each tree and row.
    Errors: those of ``score``, ATL-MOD-006 a part without places, ATL-MOD-007 a guest that asks
    for what no row reaches.
    """
    match = matched(party, part, features, names)
    if isinstance(part, GuestPart):
        return _guest(party, part, features, match)
    _host(party, part, features, match)
    return None


def _guest(party: Party, part: GuestPart, features: Floats, match: ColumnMatch) -> Floats:
    paths, rows = GuestPaths(part), features.shape[0]
    trees = len(part.trees)
    for host, splits in zip(part.hosts, part.host_splits, strict=True):
        party.channel.send(host, "score", PathStart(part.model, rows, splits, trees))
    out, size = np.empty(rows), batch_rows(trees)
    for batch, begin in enumerate(range(0, rows, size)):
        block = match.take(features[begin : begin + size])
        out[begin : begin + len(block)] = _walk(party, paths, block, batch)
    return probability(out)


def _walk(party: Party, paths: GuestPaths, features: Floats, batch: int) -> Floats:
    """Bring a batch of rows to their leaves; return their log-odds."""
    rows, at = features.shape[0], paths.begin(features.shape[0])
    hosts, new = dict(enumerate(paths.part.hosts, 1)), set(paths.part.hosts)
    for level in range(paths.depth):
        party.cancel.check()
        turns = {
            owner: (batch, level, rows if host in new else 0)
            for owner, host in hosts.items()
            if paths.sizes(owner, level)[1]
        }
        new -= {hosts[owner] for owner in turns}
        for owner, turn in turns.items():
            entries = pack_rows(paths.question(owner, level, at))
            party.channel.send(hosts[owner], "score", PathQuestion(*turn, entries))
        sides = {
            owner: _sides(party, hosts[owner], turn, (paths.sizes(owner, level)[1], rows))
            for owner, turn in turns.items()
        }
        paths.move(level, at, features, sides)
    return paths.margins(at)


def _sides(party: Party, host: str, turn: Question, shape: tuple[int, int]) -> Bools:
    message = party.channel.receive(host, "score", PathSides)
    if (message.batch, message.level, message.rows) != turn:
        raise PeerError("ATL-MOD-004", "a level of comparison bits is out of turn", party=host)
    found = read_rows(message.bits, *shape)
    if found is None:
        raise PeerError("ATL-MOD-004", "the sides of rows have another size than agreed")
    return found


def _host(party: Party, part: HostPart, features: Floats, match: ColumnMatch) -> None:
    paths = HostPaths(part)
    start = party.channel.receive(part.guest, "score", PathStart)
    check_start(part, features, start)
    if paths.trees and start.trees <= paths.trees[-1]:
        raise PeerError("ATL-MOD-002", "the guest scores with fewer trees than the host has")
    size = batch_rows(start.trees)
    for batch, begin in enumerate(range(0, start.rows, size)):
        block = match.take(features[begin : begin + size])
        state, count = paths.begin(len(block)), len(block)
        for level in sorted(paths.levels):
            party.cancel.check()
            question = party.channel.receive(part.guest, "score", PathQuestion)
            entries = read_rows(question.entries, paths.sizes(level)[0], len(block))
            turn = (batch, level, count)
            if (question.batch, question.level, question.rows) != turn or entries is None:
                raise not_on_path()
            bits = pack_rows(paths.answer(level, entries, state, block))
            party.channel.send(part.guest, "score", PathSides(*turn, bits))
            count = 0
