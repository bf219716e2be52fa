"""Looking ids up by hash: the same as Arrow's exact way, collisions included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.table import hashing

key = st.binary(max_size=40)


@given(st.lists(key, unique=True, max_size=50), st.lists(key, max_size=50), st.integers(1, 9))
def test_lookup_equals_the_exact_way(known: list[bytes], others: list[bytes], cut: int) -> None:
    wanted = [*others, *known[::2]]
    chunks = [known[at : at + cut] for at in range(0, len(known), cut)]
    table = pa.chunked_array(chunks, type=pa.binary())
    asked = pa.chunked_array([wanted[:cut], wanted[cut:]], type=pa.binary())
    want = [known.index(one) if one in known else -1 for one in wanted]
    assert hashing.lookup(table, asked).tolist() == want
    if known:
        assert hashing.exact_lookup(table, asked).tolist() == want


@given(st.lists(key, min_size=1, max_size=60))
def test_equal_ids_have_equal_hashes_wherever_they_lie(ids: list[bytes]) -> None:
    whole = pa.array([b"before", *ids, b"after"], pa.binary()).slice(1, len(ids))
    alone = [hashing.hashes(pa.array([one], pa.binary()))[0] for one in ids]
    assert hashing.hashes(whole).tolist() == alone
    assert len(set(alone)) == len(set(ids))
    repeated = hashing.repeated(pa.chunked_array([whole])).tolist()
    assert repeated == [at for at, one in enumerate(ids) if ids.count(one) > 1]


def test_collisions_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def coarse(ids: Any) -> Any:
        return np.array([len(one) for one in ids.to_pylist()], dtype=np.uint64)

    monkeypatch.setattr(hashing, "hashes", coarse)
    known = pa.chunked_array([[b"a", b"bb", b"ccc"]])
    asked = pa.chunked_array([[b"zz", b"bb", b"a", b"q"]])
    assert hashing.lookup(known, asked).tolist() == [-1, 1, 0, -1]
    crowded = pa.chunked_array([[b"a", b"b", b"cc"]])
    assert hashing.lookup(crowded, asked).tolist() == [-1, -1, 0, -1]
    from atoll.table.ids import duplicates

    assert duplicates(crowded, 5) == []
    assert duplicates(pa.chunked_array([[b"a", b"b", b"a"]]), 5) == [(2, 0)]
