"""The rule for ids, named ``id-rule/v1``: all parties read the same person as the same bytes.

An id is UTF-8 text in Unicode form NFC with ASCII white space trimmed at both ends and its case
kept; integers of typed sources are written as decimal ASCII; floats, dates and booleans are
refused, since their text differs from program to program. An id has 1 to 256 bytes and occurs once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atoll.core.errors import DataError
from atoll.core.limits import ID_BYTES
from atoll.table.hashing import repeated
from atoll.table.problems import Problem, Sink

_FLOAT_HINT = "export the id column as text or integer; 1 and 1.0 are different ids"


def _as_text(column: Any, name: str) -> Any:
    """Turn an array of any allowed type into text. Errors: ATL-TAB-006, ATL-TAB-007."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _as_text(column.dictionary_decode(), name)
    if pa.types.is_integer(kind):
        return column.cast(pa.string())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return column
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return column.cast(pa.large_string() if pa.types.is_large_binary(kind) else pa.string())
    if pa.types.is_fixed_size_binary(kind):
        return column.cast(pa.binary()).cast(pa.string())
    if kind in (pa.string_view(), pa.binary_view()):
        return column.cast(pa.large_string())
    hint = _FLOAT_HINT if pa.types.is_floating(kind) else "use text, bytes or integers as ids"
    raise DataError(
        "ATL-TAB-006", f"ids cannot be of type {kind}", place=f"column {name!r}", hint=hint
    )


def _first_not_text(column: Any) -> int:
    """Find the first value that is not UTF-8, by halving."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            column.slice(low, middle - low).cast(pa.large_string())
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle
    return low


def _compose(text: Any) -> Any:
    """Bring the values that are not ASCII into form NFC."""
    plain = pc.string_is_ascii(text)
    if pc.all(plain, min_count=0).as_py():
        return text
    odd = pc.invert(plain)
    composed = pc.utf8_normalize(text.filter(odd), form="NFC")
    return pc.replace_with_mask(text, odd, composed)


def normalise(column: Any, *, name: str, first_row: int, sink: Sink) -> Any:
    """Return one Arrow array of ids as ``binary``, after ``id-rule/v1``.

    ``first_row`` is the row number of the first value, for problems. Uniqueness is looked at over
    the whole table, by ``duplicates``. Errors: ATL-TAB-004 empty, -005 too long, -006 type, -007
    not UTF-8.
    """
    try:
        text = _as_text(column, name)
    except pa.ArrowInvalid:
        row = first_row + _first_not_text(column)
        raise Problem(
            "ATL-TAB-007", "an id is not valid UTF-8", row, name, hint="store ids as UTF-8"
        ).error() from None
    if text.null_count:
        text = text.fill_null("")
    ids = _compose(pc.ascii_trim_whitespace(text)).cast(pa.large_binary())
    sizes = pc.binary_length(ids).to_numpy(zero_copy_only=False)
    if len(sizes) and sizes.min() == 0:
        row = first_row + int(np.argmin(sizes))
        sink(Problem("ATL-TAB-004", "an id is missing", row, name, hint="every row needs an id"))
    if len(sizes) and sizes.max() > ID_BYTES:
        row = first_row + int(np.argmax(sizes > ID_BYTES))
        message = f"an id is longer than {ID_BYTES} bytes"
        sink(Problem("ATL-TAB-005", message, row, name, hint="is this the id column?"))
    return ids.cast(pa.binary())


def duplicates(ids: Any, limit: int = 1) -> list[tuple[int, int]]:
    """Return up to ``limit`` pairs of positions (later, first) of ids that occur again.

    ``ids`` is a chunked ``binary`` array. The pairs come in the order of the later position.
    """
    suspects = repeated(ids)
    if not len(suspects):
        return []
    codes = np.asarray(ids.take(pa.array(suspects)).combine_chunks().dictionary_encode().indices)
    order = np.argsort(codes, kind="stable")
    ranked = codes[order]
    again = np.flatnonzero(ranked[1:] == ranked[:-1]) + 1
    later = suspects[order[again]]
    first = suspects[order[np.searchsorted(ranked, ranked[again])]]
    some = np.argsort(later, kind="stable")[:limit]
    return [(int(later[at]), int(first[at])) for at in some]


def refuse_duplicates(
    ids: Any, *, name: str, row_of: Callable[[int], int], sink: Sink, limit: int = 1
) -> None:
    """Report ids that occur again, with both row numbers. Errors: ATL-TAB-003."""
    for later, first in duplicates(ids, limit):
        message = f"the id of row {row_of(first)} occurs again"
        hint = "ids must be unique; aggregate or number the repeated rows first"
        sink(Problem("ATL-TAB-003", message, row_of(later), name, hint=hint))
