"""The roles of a session that scores rows: the guest asks in batches, hosts look up and follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from atoll.channel.party import Party
from atoll.components.api import Request, Requests
from atoll.components.scoring_messages import BATCH_ROWS, MOST_ROWS, Ask, Found, Score
from atoll.core.errors import AtollError, InternalError, PeerError, UserError
from atoll.core.exposure import EVERYONE
from atoll.core.limits import ID_BYTES
from atoll.core.names import Role
from atoll.jobs.errors import DeniedError
from atoll.models.columns import match_columns
from atoll.models.kinds import Scorer
from atoll.table import Table, ids
from atoll.table.hashing import IdIndex
from atoll.table.problems import raise_first

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# How often a session that no one asks looks whether its peers are still there.
_POLL_SECONDS = 1.0
_ALIVE = "ATL-NET-002"
# Bounds that fewer rows may still be within; the other refusals hold for any request.
_BOUNDS = frozenset({"ATL-AGR-004", "ATL-AGR-005", "ATL-POL-005"})
_REFUSALS = _BOUNDS | {"ATL-AGR-001", "ATL-AGR-002", "ATL-AGR-003", "ATL-POL-001"}
# What Arrow states about values that make no column; text may hold half a surrogate pair.
_UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError)


class Rows:
    """A party's table, made ready for look-ups: an index of its ids, and float64[rows, columns]."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        """Take the columns of the model, by name. Errors: ATL-MOD-003 one is missing."""
        match_columns(columns, table.columns)
        self._index = IdIndex(table.ids())
        self._features = table.matrix(columns)

    def find(self, wanted: Any) -> Integers:
        """Return the position of each id of a ``binary`` array, −1 where there is none."""
        return self._index.find(pa.chunked_array([wanted]))

    def take(self, positions: Integers) -> Floats:
        """Return the features of rows, float64[positions, columns]; NaN where there is none."""
        there = positions >= 0
        found = np.full((len(positions), self._features.shape[1]), np.nan)
        found[there] = self._features[positions[there]]
        return found


@dataclass
class Bench:
    """What a seat of a session works with; ``table`` is None where requests carry the columns.

    ``alone``: a host's bound refused a batch, so requests share none any more: a large one fails
    no small one.
    """

    party: Party
    requests: Requests
    scorer: Scorer
    part: Any
    columns: tuple[str, ...]
    table: Table | None
    chosen: Mapping[str, Sequence[str]]
    batch: int = 0
    alone: bool = False

    @property
    def whole(self) -> bool:
        """Whether all rows of a batch are scored, also those that a host has not.

        Among several hosts each would learn from the choice which ids the others have. Where the
        scorer sends hosts something about each row, they would learn more from more rows.
        """
        to_hosts = (Role.HOST, EVERYONE)
        shown = any(line.receiver in to_hosts for line in self.scorer.reveals)
        return len(self.party.hosts) > 1 and not shown

    def rows(self) -> Rows | None:
        """Make the table ready for look-ups."""
        return None if self.table is None else Rows(self.table, self.columns)


@dataclass
class _Asked:
    """A request that was read: ids as Arrow ``binary``, features, and which rows the guest has."""

    request: Request
    ids: Any
    features: Floats
    known: Bools


# -- the guest ----------------------------------------------------------------------------------


def ask(bench: Bench) -> None:
    """Take requests until the session shall end; requests that wait share a batch.

    A request is ``{"ids": [text, …], "columns": {name: [number or null, …]}}``; the columns may be
    left out where the guest has a table. Its answer is ``{"scores": [number or null, …],
    "missing": [id, …]}``, scores in the order of the ids and null for those that are missing at
    some party. Errors: whatever ends a peer.
    """
    rows = bench.rows()
    while True:
        first = bench.requests.next(_POLL_SECONDS)
        _check_hosts(bench.party)
        if first is not None:
            _serve(bench, _batch(bench, rows, first))
        elif bench.requests.closing:
            break
    nothing = np.empty(0, dtype=np.uint16)
    for host in bench.party.hosts:
        bench.party.channel.send(host, "ask", Ask(bench.batch, True, nothing, b""))


def _check_hosts(party: Party) -> None:
    """Notice a host that is gone before rows are spent on it. Errors: those of the channel."""
    for host in party.hosts:
        try:
            party.channel.receive(host, "found", Found, deadline=0.0)
        except AtollError as error:
            if error.code != _ALIVE:
                raise
        else:
            raise PeerError("ATL-CMP-080", "an answer that no one asked for", party=host)


def _batch(bench: Bench, rows: Rows | None, first: Request) -> list[_Asked]:
    found: list[_Asked] = []
    request: Request | None = first
    count = 0
    while request is not None:
        try:
            asked = _read(bench, rows, request)
            found.append(asked)
            count += len(asked.ids)
        except AtollError as error:
            request.fail(error)
        more = count < BATCH_ROWS and not (bench.alone and found)
        request = bench.requests.next(0.0) if more else None
    return found


def _serve(bench: Bench, asked: list[_Asked]) -> None:
    """Answer a batch; where an own bound refuses it, each of its requests alone.

    What a host refuses, this party and other hosts have counted: it fails, and is not asked again.
    """
    if not asked:
        return
    count = sum(int(one.known.sum()) for one in asked)
    try:
        if count:
            bench.requests.spend(count)
    except UserError as error:
        if error.code not in _REFUSALS:
            raise
        if len(asked) == 1 or error.code not in _BOUNDS:
            _fail(asked, error)
            return
        for one in asked:
            _serve(bench, [one])
        return
    try:
        _answer(bench, asked)
    except UserError as error:
        if error.code not in _REFUSALS:
            raise
        bench.alone |= error.code in _BOUNDS
        _fail(asked, error)


def _fail(asked: list[_Asked], error: UserError) -> None:
    for one in asked:
        one.request.fail(error)


def _answer(bench: Bench, asked: list[_Asked]) -> None:
    wanted = pa.concat_arrays([one.ids for one in asked])
    known = np.concatenate([one.known for one in asked])
    features = np.concatenate([one.features for one in asked])
    there = known.copy()
    scores = np.full(len(known), np.nan)
    if known.any():
        there[known] = _common(bench, wanted.filter(pa.array(known)))
        scored = known if bench.whole else there
        if scored.any():
            made = bench.scorer.run(bench.party, bench.part, features[scored], bench.columns)
            if made is None:
                raise InternalError("ATL-INT-001", "the guest got no scores")
            scores[scored] = made
            scores[~there] = np.nan
    start = 0
    for one in asked:
        end = start + len(one.ids)
        absent = one.ids.filter(pa.array(~there[start:end])).cast(pa.string())
        # NaN has no form in JSON, and a score that is none is no score.
        chosen = pa.array(scores[start:end], from_pandas=True)
        one.request.answer({"scores": chosen.to_pylist(), "missing": absent.to_pylist()})
        start = end


def _common(bench: Bench, wanted: Any) -> Bools:
    """Ask all hosts for ids, and send them which are scored; return which all have, bool[ids].

    Errors: those of ``_REFUSALS``, if a host refuses them.
    """
    party, count = bench.party, len(wanted)
    bench.batch += 1
    sizes = np.diff(_offsets(wanted)).astype(np.uint16)
    question = Ask(bench.batch, False, sizes, _bytes(wanted))
    for host in party.hosts:
        party.channel.send(host, "ask", question)
    there = np.ones(count, dtype=np.bool_)
    refused: dict[str, str] = {}
    for host in party.hosts:
        received = party.channel.receive(host, "found", Found)
        if received.batch != bench.batch:
            raise PeerError("ATL-CMP-080", "an answer to another batch", party=host)
        if received.code and received.code not in _REFUSALS:
            raise PeerError("ATL-CMP-080", "a refusal with an unknown code", party=host)
        if received.code:
            refused[host] = received.code
        else:
            there &= _unpacked(received.found, count, host)
    scored = np.ones(count, dtype=np.bool_) if bench.whole else there
    if refused:
        scored = np.zeros(count, dtype=np.bool_)
    for host in party.hosts:
        if host not in refused:
            party.channel.send(host, "ask", Score(bench.batch, _packed(scored)))
    if refused:
        host, code = next(iter(refused.items()))
        raise DeniedError(
            code,
            "the partner's node refuses more rows under this agreement",
            party=host,
            hint="look at the agreement there; its bounds are counted by each party",
        )
    return there


# -- hosts --------------------------------------------------------------------------------------


def follow(bench: Bench) -> None:
    """Look rows up and score them, batch after batch, until the guest ends the session."""
    party, rows = bench.party, bench.rows()
    if rows is None:
        raise InternalError("ATL-INT-001", "a host without a table")
    while True:
        received = _next(party)
        if received.ending:
            return
        if received.batch <= bench.batch:
            raise PeerError("ATL-CMP-080", "a batch is out of turn", party=party.guest)
        bench.batch = received.batch
        _follow(bench, rows, received)


def _next(party: Party) -> Ask:
    while True:
        try:
            return party.channel.receive(party.guest, "ask", Ask, deadline=_POLL_SECONDS)
        except AtollError as error:
            # Only silence; a guest that is gone raises another error.
            if error.code != _ALIVE:
                raise
        party.cancel.check()


def _follow(bench: Bench, rows: Rows, received: Ask) -> None:
    party = bench.party
    wanted = _wanted(received, party.guest)
    try:
        bench.requests.spend(len(wanted))
    except UserError as error:
        if error.code not in _REFUSALS:
            raise
        party.channel.send(party.guest, "found", Found(received.batch, error.code, b""))
        return
    positions = rows.find(wanted)
    there = positions >= 0
    party.channel.send(party.guest, "found", Found(received.batch, "", _packed(there)))
    chosen = party.channel.receive(party.guest, "ask", Score)
    if chosen.batch != received.batch:
        raise PeerError("ATL-CMP-080", "another batch is to be scored", party=party.guest)
    scored = _unpacked(chosen.rows, len(wanted), party.guest)
    if (scored & ~there).any() and not bench.whole:
        raise PeerError("ATL-CMP-080", "rows that are not here are to be scored", party=party.guest)
    if scored.any():
        features = rows.take(positions[scored])
        bench.scorer.run(party, bench.part, features, bench.columns)


def _wanted(received: Ask, guest: str) -> Any:
    """Return the ids of a batch as Arrow ``binary``. Errors: ATL-CMP-080 they do not fit."""
    sizes = received.sizes.astype(np.int64)
    if (
        not len(sizes)
        or sizes.min() < 1
        or sizes.max() > ID_BYTES
        or sizes.sum() != len(received.ids)
    ):
        raise PeerError("ATL-CMP-080", "the ids and their sizes do not fit", party=guest)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(received.ids)]
    return pa.Array.from_buffers(pa.binary(), len(sizes), buffers)


# -- reading a request --------------------------------------------------------------------------


def _read(bench: Bench, rows: Rows | None, request: Request) -> _Asked:
    """Read a request. Errors: ATL-AGR-006, with the row or column."""
    body = request.body
    for name in body:
        if name not in ("ids", "columns"):
            raise _malformed("a request has ids and columns, and nothing else", name)
    wanted = _read_ids(body.get("ids"))
    given = body.get("columns")
    if given is not None:
        features = _read_columns(given, bench, len(wanted))
        return _Asked(request, wanted, features, np.ones(len(wanted), dtype=np.bool_))
    if rows is None:
        raise _malformed("the guest has no table here, so the request carries columns", "columns")
    positions = rows.find(wanted)
    return _Asked(request, wanted, rows.take(positions), positions >= 0)


def _read_ids(given: Any) -> Any:
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_ROWS:
        raise _malformed(f"ids are a list of 1 to {MOST_ROWS} texts", "ids")
    try:
        made = pa.array(given)
        fit = pa.types.is_string(made.type) or pa.types.is_integer(made.type)
        if fit and not made.null_count:
            return ids.normalise(made, name="ids", first_row=1, sink=raise_first())
    except _UNFIT:
        pass
    except UserError as error:
        raise _malformed(error.message, error.place or "ids") from error
    at = _first(given, _is_id)
    raise _malformed("an id is not text", f"ids, row {at + 1}")


def _read_columns(given: Any, bench: Bench, count: int) -> Floats:
    if not isinstance(given, dict):
        raise _malformed("columns are lists of numbers by name", "columns")
    allowed = bench.chosen.get(bench.party.name)
    for name in given:
        if allowed is not None and name not in allowed:
            raise _malformed("a column that the agreement does not name", f"columns.{name}")
    try:
        match_columns(bench.columns, tuple(given))
    except UserError as error:
        raise UserError("ATL-AGR-006", error.message, place="columns", hint=error.hint) from error
    features = np.empty((count, len(bench.columns)))
    for at, name in enumerate(bench.columns):
        features[:, at] = _read_column(given[name], f"columns.{name}", count)
    return features


def _read_column(given: Any, place: str, count: int) -> Floats:
    if not isinstance(given, list) or len(given) != count:
        raise _malformed("a column has as many values as there are ids", place)
    try:
        made = pa.array(given)
        if pa.types.is_null(made.type):
            return np.full(count, np.nan)
        if pa.types.is_floating(made.type) or pa.types.is_integer(made.type):
            read: Floats = made.cast(pa.float64()).to_numpy(zero_copy_only=False)
            if not np.isinf(read).any():
                return read
    except _UNFIT:
        pass
    at = _first(given, lambda v: v is None or (type(v) in (int, float) and abs(v) < 1e308))
    raise _malformed("a value is neither a finite number nor null", f"{place}, row {at + 1}")


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and not any("\ud800" <= one <= "\udfff" for one in value)


def _first(given: list[Any], fits: Callable[[Any], bool]) -> int:
    """Return the first value that does not fit, for the words of a refusal."""
    return next((at for at, value in enumerate(given) if not fits(value)), 0)


def _malformed(message: str, place: str) -> UserError:
    return UserError(
        "ATL-AGR-006",
        message,
        place=place,
        hint='ask with {"ids": ["a"], "columns": {"x": [1.5]}}',
    )


# -- bits and bytes -----------------------------------------------------------------------------


def _packed(flags: Bools) -> bytes:
    return np.packbits(flags, bitorder="little").tobytes()


def _unpacked(data: bytes, count: int, party: str) -> Bools:
    """Read ``count`` flags. Errors: ATL-CMP-080 unless size and padding are exact."""
    raw = np.frombuffer(data, dtype=np.uint8)
    if len(raw) == -(-count // 8):
        flags = np.unpackbits(raw, bitorder="little")
        if not flags[count:].any():
            return flags[:count].astype(np.bool_)
    raise PeerError("ATL-CMP-080", "flags of another number of rows", party=party)


def _offsets(column: Any) -> npt.NDArray[np.int32]:
    _, offsets, _ = column.buffers()
    return np.frombuffer(offsets, dtype=np.int32, count=len(column) + 1, offset=4 * column.offset)


def _bytes(column: Any) -> bytes:
    _, _, data = column.buffers()
    marks = _offsets(column)
    return (
        b"" if data is None else data.slice(int(marks[0]), int(marks[-1] - marks[0])).to_pybytes()
    )
