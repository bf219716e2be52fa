"""The categories of pooled text columns, as far as enough rows and clients have them.

Round 1 counts hashed categories in buckets, round 2 those of full buckets by a second hash, round 3
adds up the bytes of the names in the cells that are still full, once for each client that has the
category; where all of a cell's clients had the same one, the sum over their number is its name,
which its hash confirms.

Revealed to the aggregator: rows and clients by bucket, so whoever guesses a rare category's name
can see whether about so many rows have something of its hash; its name never leaves unless it
shares both hashes with a frequent one (chance: frequent · rare / (buckets · parts)), and then the
sum of both is no name, and counts as unresolved. Names and counts of frequent categories.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from atoll.core.errors import DataError, UserError
from atoll.learning.horizontal.algorithm import ClientResult, ClientWork, State, Vectors
from atoll.learning.horizontal.features.api import (
    ROWS,
    FeatureStep,
    received,
    summed,
    unfinished,
    wrong_message,
)
from atoll.learning.horizontal.sums import Update

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Texts = npt.NDArray[Any]
STAGE, COLUMNS, FULL, CELLS = "stage", "columns", "full", "cells"
COUNTS, CLIENTS, NAMES = "counts", "clients", "names"
_BUCKETS, _PARTS, _NAMES, _DONE = range(4)
_CHECK = 4
MOST_FULL = 1 << 20


@dataclass(frozen=True)
class _Category:
    """A category of one client: its name's bytes and hash, and how many rows have it."""

    name: bytes
    digest: bytes
    rows: int

    def place(self, buckets: int, parts: int) -> tuple[int, int]:
        """Return the bucket, and the part of it."""
        return (
            int.from_bytes(self.digest[:8], "big") % buckets,
            int.from_bytes(self.digest[8:16], "big") % parts,
        )


class Vocabulary(FeatureStep):
    """Finds the categories that ``minimum_rows`` rows and ``minimum_clients`` clients have.

    A client's rows are text (NumPy's ``U``), [n, columns]; the empty text is a missing value.
    Entries of an update are at most the client's rows or 255. Errors: ATL-HOR-100 and ATL-HOR-101,
    ATL-HOR-107 at a client whose column is no text or has a longer category than ``most_bytes``.
    """

    minimum_rows: int = Field(default=10, ge=1, le=1 << 31, description="least rows of a category")
    minimum_clients: int = Field(default=2, ge=1, le=1 << 20, description="least clients with it")
    buckets: int = Field(default=4096, ge=16, le=1 << 20, description="values of the first hash")
    parts: int = Field(default=256, ge=16, le=1 << 16, description="values of the second hash")
    most_bytes: int = Field(default=64, ge=1, le=1024, description="of a category's name in UTF-8")
    salt: int = Field(default=0, ge=0, lt=1 << 63, description="public key of the hashes")

    @property
    def most_rounds(self) -> int:
        """See ``FeatureStep.most_rounds``."""
        return 3

    def begin(self, columns: int) -> State:
        """See ``FeatureStep.begin``."""
        return State(0, {STAGE: np.array([0.0]), COLUMNS: np.array([float(columns)])})

    def message(self, state: State) -> Vectors:
        """See ``Algorithm.message``."""
        return {n: state.vectors[n] for n in (STAGE, FULL, CELLS) if n in state.vectors}

    def client(self, work: ClientWork) -> ClientResult:
        """See ``Algorithm.client``."""
        rows = np.asarray(work.data.rows)
        stage = int(received(work.sent, STAGE, 1)[0])
        columns = rows.shape[1]
        if stage == _BUCKETS:
            update = self._counted(rows, columns * self.buckets, None)
        elif stage == _PARTS:
            full = _places(work.sent, FULL, columns * self.buckets)
            update = self._counted(rows, len(full) * self.parts, full)
        else:
            cells = _places(work.sent, CELLS, columns * self.buckets * self.parts)
            update = self._named(rows, cells)
        return ClientResult(update)

    def aggregate(self, state: State, total: Update) -> State:
        """See ``Algorithm.aggregate``."""
        if total.numbers[ROWS] <= 0:
            return state.next()
        stage = int(state.vectors[STAGE][0])
        columns = int(state.vectors[COLUMNS][0])
        if stage == _BUCKETS:
            full = np.flatnonzero(self._enough(total, columns * self.buckets))
            done = _PARTS if len(full) else _DONE
            return state.next(**{STAGE: np.array([float(done)]), FULL: full.astype(np.float64)})
        if stage == _PARTS:
            full = state.vectors[FULL].astype(np.int64)
            at = np.flatnonzero(self._enough(total, len(full) * self.parts))
            cells = full[at // self.parts] * self.parts + at % self.parts
            done = _NAMES if len(cells) else _DONE
            return state.next(**{STAGE: np.array([float(done)]), CELLS: cells.astype(np.float64)})
        size = len(state.vectors[CELLS])
        found = {name: summed(total, name, size) for name in (COUNTS, CLIENTS)}
        found[NAMES] = summed(total, NAMES, size * self._wide)
        return state.next(**{STAGE: np.array([float(_DONE)]), **found})

    def finished(self, state: State) -> bool:
        """See ``FeatureStep.finished``."""
        return int(state.vectors[STAGE][0]) == _DONE

    def result(self, state: State) -> Categories:
        """Return the categories. Errors: ATL-HOR-102 before the last round."""
        if not self.finished(state):
            raise unfinished("a vocabulary")
        columns = int(state.vectors[COLUMNS][0])
        found: list[dict[str, int]] = [{} for _ in range(columns)]
        unresolved = 0
        vectors = state.vectors if NAMES in state.vectors else {}
        names = np.rint(vectors.get(NAMES, np.empty(0))).reshape(-1, self._wide)
        cells = state.vectors[CELLS].astype(np.int64) if len(names) else np.empty(0, np.int64)
        for line, cell in enumerate(cells.tolist()):
            rows, clients = (round(float(vectors[n][line])) for n in (COUNTS, CLIENTS))
            if rows < self.minimum_rows or clients < self.minimum_clients:
                continue
            name = self._name(names[line], clients, cell)
            if name is None:
                unresolved += 1
            else:
                found[cell // (self.buckets * self.parts)][name] = rows
        ordered = tuple(dict(sorted(column.items())) for column in found)
        return Categories(ordered, unresolved)

    @property
    def _wide(self) -> int:
        """Values of a name: its bytes, their number, and bytes of the hash."""
        return self.most_bytes + 1 + _CHECK

    def _enough(self, total: Update, size: int) -> npt.NDArray[np.bool_]:
        rows, clients = summed(total, COUNTS, size), summed(total, CLIENTS, size)
        enough = (rows >= self.minimum_rows) & (clients >= self.minimum_clients)
        if np.count_nonzero(enough) > MOST_FULL:
            raise UserError("ATL-HOR-105", "so many categories exceed a vocabulary")
        return enough

    def _counted(self, rows: Texts, size: int, full: Ints | None) -> Update:
        counts, clients = np.zeros(size), np.zeros(size)
        for column, category in self._categories(rows):
            bucket, part = category.place(self.buckets, self.parts)
            at = column * self.buckets + bucket
            if full is not None:
                line = int(np.searchsorted(full, at))
                if line == len(full) or full[line] != at:
                    continue
                at = line * self.parts + part
            counts[at] += category.rows
            clients[at] = 1.0
        return Update({COUNTS: counts, CLIENTS: clients}, {ROWS: float(len(rows))})

    def _named(self, rows: Texts, cells: Ints) -> Update:
        counts, clients = np.zeros(len(cells)), np.zeros(len(cells))
        names = np.zeros((len(cells), self._wide))
        for column, category in self._categories(rows):
            bucket, part = category.place(self.buckets, self.parts)
            at = (column * self.buckets + bucket) * self.parts + part
            line = int(np.searchsorted(cells, at))
            if line == len(cells) or cells[line] != at:
                continue
            counts[line] += category.rows
            clients[line] += 1.0
            names[line] += self._written(category)
        vectors = {COUNTS: counts, CLIENTS: clients, NAMES: names.ravel()}
        return Update(vectors, {ROWS: float(len(rows))})

    def _written(self, category: _Category) -> Floats:
        found = np.zeros(self._wide)
        found[: len(category.name)] = np.frombuffer(category.name, dtype=np.uint8)
        found[self.most_bytes] = len(category.name)
        found[self.most_bytes + 1 :] = np.frombuffer(category.digest[16:], dtype=np.uint8)
        return found

    def _name(self, added: Floats, clients: int, cell: int) -> str | None:
        """Return the name whose bytes were added up, or None where they are not of one name."""
        line = added / clients
        if (line != np.rint(line)).any() or not 0 < line[self.most_bytes] <= self.most_bytes:
            return None
        if line.min() < 0 or line[: self.most_bytes].max() > 255:
            return None
        name = line[: int(line[self.most_bytes])].astype(np.uint8).tobytes()
        column = cell // (self.buckets * self.parts)
        category = _Category(name, self._digest(column, name), 0)
        bucket, part = category.place(self.buckets, self.parts)
        if (column * self.buckets + bucket) * self.parts + part != cell:
            return None
        if not np.array_equal(self._written(category), line):
            return None
        try:
            return name.decode()
        except UnicodeDecodeError:
            return None

    def _categories(self, rows: Texts) -> Iterator[tuple[int, _Category]]:
        """Yield each column's number with each of its categories."""
        if rows.ndim != 2 or rows.dtype.kind != "U":
            raise DataError("ATL-HOR-107", "a vocabulary is made of columns of text")
        for column in range(rows.shape[1]):
            values, counts = np.unique(rows[:, column], return_counts=True)
            for text, count in zip(values.tolist(), counts.tolist(), strict=True):
                name = text.encode()
                if len(name) > self.most_bytes:
                    raise DataError(
                        "ATL-HOR-107",
                        f"a category takes more than {self.most_bytes} bytes",
                        place=f"column number {column}",
                        hint="raise most_bytes, or leave columns of free text out",
                    )
                if name:
                    yield column, _Category(name, self._digest(column, name), count)

    def _digest(self, column: int, name: bytes) -> bytes:
        context = b"atoll/vocabulary/v1" + self.salt.to_bytes(8, "big") + column.to_bytes(4, "big")
        return hashlib.sha256(context + name).digest()[: 16 + _CHECK]


@dataclass(frozen=True)
class Categories:
    """The rows of each category, by column, names ascending; and cells that gave no name."""

    counts: tuple[dict[str, int], ...]
    unresolved: int

    def names(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the one-hot columns: ``column=category``."""
        pairs = zip(columns, self.counts, strict=True)
        return tuple(f"{column}={name}" for column, known in pairs for name in known)

    def encode(self, rows: Texts) -> Floats:
        """Return 0 and 1, float64[n, categories of all columns]; others are 0 in all of them."""
        blocks = []
        for column, known in enumerate(self.counts):
            names = np.array(list(known), dtype=np.str_)
            blocks.append(rows[:, column, np.newaxis] == names[np.newaxis, :])
        return np.concatenate(blocks, axis=1).astype(np.float64)

    def most_frequent(self) -> tuple[str, ...]:
        """Return each column's most frequent category (of several the first), or the empty text."""
        return tuple(
            max(known, key=lambda name: known[name]) if known else "" for known in self.counts
        )


def _places(sent: Vectors, name: str, limit: int) -> Ints:
    """Return ascending places below ``limit`` that the aggregator asks about."""
    found = received(sent, name)
    places = found.astype(np.int64)
    if len(places) > MOST_FULL or (places != found).any() or (np.diff(places) <= 0).any():
        raise wrong_message(name)
    if len(places) and not 0 <= places[0] <= places[-1] < limit:
        raise wrong_message(name)
    return places
