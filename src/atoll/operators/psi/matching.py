"""Finding equal tags in two lists of millions, with bounded memory and no object per row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atoll.core.errors import PeerError

_PART_ROWS = 1 << 21

Tags = npt.NDArray[np.uint8]


def common(held: Tags, returned: Tags) -> npt.NDArray[np.bool_]:
    """Return which rows of ``held``, uint8[n, 16], begin with a row of ``returned``, uint8[m, w].

    The lists are taken apart by their first byte, which is as good as random. Errors: ATL-PSI-008
    when a returned row that is found occurs twice.
    """
    found = np.zeros(len(held), np.bool_)
    parts = 1
    while parts < 256 and (len(held) + len(returned)) // parts > _PART_ROWS:
        parts *= 2
    for part in range(parts):
        mine = _part(held, part, parts)
        theirs = _part(returned, part, parts)
        found[mine] = _matches(held[mine], returned[theirs])
    return found


def refuse_repeated(held: Tags) -> None:
    """Refuse two equal rows of uint8[n, 16]. Errors: ATL-PSI-008."""
    twice = _twice(held)
    # Half a tag may agree by accident; the whole of it does not.
    alike = held[np.isin(_first(held), twice)] if len(twice) else held[:0]
    if len(np.unique(alike, axis=0)) != len(alike):
        raise PeerError("ATL-PSI-008", "a masked id was sent twice")


def refuse_reflected(sent: Tags, received: Tags) -> None:
    """Refuse a row of uint8[m, w] that is one of those that were sent, uint8[n, w].

    Errors: ATL-PSI-011.
    """
    twice = _twice(sent, received)
    if not len(twice):
        return
    own = {row.tobytes() for row in sent[np.isin(_first(sent), twice)]}
    if any(row.tobytes() in own for row in received[np.isin(_first(received), twice)]):
        raise PeerError("ATL-PSI-011", "the peer sends back what it was sent")


def _first(tags: Tags) -> npt.NDArray[np.uint64]:
    """Return the first 8 bytes of each row, of all that there are."""
    if tags.shape[1] >= 8:
        return np.ascontiguousarray(tags[:, :8]).view(np.uint64).ravel()
    return _keys(tags, tags.shape[1])[:, 0]


def _twice(*lists: Tags) -> npt.NDArray[np.uint64]:
    """Return the first 8 bytes that rows of all lists have in common."""
    ordered = np.sort(np.concatenate([_first(tags) for tags in lists]))
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _part(tags: Tags, part: int, parts: int) -> npt.NDArray[np.int64] | slice:
    if parts == 1:
        return slice(None)
    return np.flatnonzero(tags[:, 0] // (256 // parts) == part)


def _keys(tags: Tags, width: int) -> npt.NDArray[np.uint64]:
    padded = np.zeros((len(tags), 16), np.uint8)
    padded[:, :width] = tags[:, :width]
    return padded.view(np.uint64)


def _matches(held: Tags, returned: Tags) -> npt.NDArray[np.bool_]:
    width = returned.shape[1]
    keys = np.concatenate([_keys(held, width), _keys(returned, width)])
    first = np.ascontiguousarray(keys[:, 0])
    order = np.argsort(first)
    ordered = first[order]
    same = ordered[1:] == ordered[:-1]
    if np.any(same[1:] & same[:-1]):
        return _grouped(keys, len(held))
    one, other = order[:-1][same], order[1:][same]
    equal = (keys[one, 1] == keys[other, 1]) & ((one < len(held)) != (other < len(held)))
    result = np.zeros(len(held), np.bool_)
    result[np.minimum(one, other)[equal]] = True
    return result


def _grouped(keys: npt.NDArray[np.uint64], held: int) -> npt.NDArray[np.bool_]:
    # The exact way for any repeats, several times slower than neighbours in pairs.
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    group = np.zeros(len(keys), np.int64)
    np.cumsum(np.any(ordered[1:] != ordered[:-1], axis=1), out=group[1:])
    is_held = order < held
    held_in = np.bincount(group[is_held], minlength=len(keys))
    returned_in = np.bincount(group[~is_held], minlength=len(keys))
    if np.any((returned_in > 1) & (held_in > 0)):
        raise PeerError("ATL-PSI-008", "a doubly masked id was returned twice")
    result = np.zeros(held, np.bool_)
    result[order[is_held & (returned_in > 0)[group]]] = True
    return result
