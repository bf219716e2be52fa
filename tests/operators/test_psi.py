"""The intersection's parts: own ids, matching of tags, bitmaps and the tag's width."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.core.limits import Limits
from atoll.core.names import Role
from atoll.core.random import SecretRandom
from atoll.crypto.dh import DhScalar
from atoll.crypto.reference.curve25519 import hash_to_curve
from atoll.operators.psi import PsiParameters, choose, matching
from atoll.operators.psi.api import BITMAP_CHUNK, tag_bytes
from atoll.operators.psi.ecdh.core import Core, bitmaps, take_bitmaps
from atoll.operators.psi.ecdh.messages import Bitmap
from atoll.operators.psi.ids import OwnIds
from atoll.operators.setting import Setting


def refused(code: str) -> Any:
    return pytest.raises(AtollError, match=code)


@pytest.mark.parametrize(("a", "b", "width"), [(1, 1, 5), (10**5, 10**5, 10), (10**7, 10**7, 11)])
def test_tags_are_as_wide_as_the_birthday_bound(a: int, b: int, width: int) -> None:
    assert tag_bytes(a, b) == width == math.ceil((40 + math.log2(a) + math.log2(b)) / 8)


def test_empty_sets_have_tags_too() -> None:
    assert tag_bytes(0, 5) == 5


@given(st.lists(st.binary(max_size=12), unique=True, max_size=60), st.booleans())
def test_own_ids_keep_order_and_bytes(values: list[bytes], large: bool) -> None:
    kind = pa.large_binary() if large else pa.binary()
    # A slice and several chunks: offsets must not be taken for granted.
    array = pa.chunked_array([pa.array([b"first", *values[:9]], kind)[1:], values[9:]], kind)
    own = OwnIds(array, Limits())
    assert [values[row] for row in own.order] == sorted(values)
    rows = own.order[::2]
    data, offsets = own.take(rows)
    assert [bytes(data[a:b]) for a, b in itertools.pairwise(offsets)] == [
        values[row] for row in rows
    ]
    chosen = np.zeros(len(values), np.bool_)
    chosen[rows] = True
    assert own.sorted(chosen).tolist() == rows.tolist()


def test_a_repeated_id_is_named_by_its_row() -> None:
    with pytest.raises(AtollError) as caught:
        OwnIds(pa.array([b"a", b"b", b"c", b"b"]), Limits())
    assert (caught.value.code, caught.value.place) == ("ATL-PSI-002", "row 3")


@pytest.mark.parametrize("large", [False, True])
def test_repeats_are_found_across_slices(monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    monkeypatch.setattr("atoll.operators.psi.ids._SLICE", 2)
    kind = pa.large_binary() if large else pa.binary()
    for twice in range(5):
        values = [b"%d" % n for n in range(5)]
        with refused("ATL-PSI-002"):
            OwnIds(pa.array([*values, values[twice]], kind), Limits())
    assert len(OwnIds(pa.array([b"%d" % n for n in range(5)], kind), Limits())) == 5


def tags(rng: np.random.Generator, count: int) -> npt.NDArray[np.uint8]:
    return rng.integers(0, 256, (count, 16), dtype=np.uint8)


@given(
    st.integers(0, 2**31),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(5, 13),
    st.booleans(),
)
def test_matching_equals_sets(seed: int, n: int, m: int, width: int, parts: bool) -> None:
    rng = np.random.default_rng(seed)
    held, other = tags(rng, n), tags(rng, m)
    both = min(n, m) // 2
    other[:both, :width] = held[rng.permutation(n)[:both], :width]
    returned = np.ascontiguousarray(other[rng.permutation(m), :width])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_PART_ROWS", 8 if parts else 1 << 21)
        found = matching.common(held, returned)
    known = {bytes(tag) for tag in returned}
    assert found.tolist() == [bytes(tag[:width]) in known for tag in held]


def test_tags_that_agree_in_eight_bytes_only_are_no_match() -> None:
    held = np.zeros((3, 16), np.uint8)
    held[:, 8] = [1, 2, 3]
    returned = np.zeros((2, 10), np.uint8)
    returned[:, 8] = [3, 4]
    assert matching.common(held, returned).tolist() == [False, False, True]
    matching.refuse_repeated(held)
    with refused("ATL-PSI-008"):
        matching.refuse_repeated(np.concatenate([held, held[1:2]]))


def test_a_found_tag_may_not_come_twice_but_an_unknown_one_may() -> None:
    rng = np.random.default_rng(1)
    held = tags(rng, 4)
    strange = np.repeat(tags(rng, 1)[:, :10], 2, axis=0)
    assert not matching.common(held, strange).any()
    with refused("ATL-PSI-008"):
        matching.common(held, np.repeat(held[:1, :10], 2, axis=0))


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 8 * BITMAP_CHUNK + 3])
def test_bitmaps_come_back_as_positions(rows: int) -> None:
    found = np.random.default_rng(rows).random(rows) < 0.001 if rows > 9 else np.ones(rows, bool)
    sent = list(bitmaps(found))
    assert len(sent) == max(1, -(-rows // (8 * BITMAP_CHUNK)))
    positions = take_bitmaps(rows, int(found.sum()), iter(sent))
    assert np.array_equal(positions, np.flatnonzero(found))


@pytest.mark.parametrize(
    "changed",
    [
        lambda m: replace(m, bits=m.bits[1:]),
        lambda m: replace(m, first=1),
        lambda m: replace(m, bits=np.append(m.bits[:-1], 255).astype(np.uint8)),
        lambda m: replace(m, bits=m.bits ^ np.uint8(1)),
    ],
)
def test_bitmaps_that_do_not_fit_are_refused(changed: Any) -> None:
    def sent() -> Iterator[Bitmap]:
        yield from (changed(message) for message in bitmaps(np.ones(12, np.bool_)))

    with refused("ATL-PSI-009"):
        take_bitmaps(12, 12, sent())


def test_points_are_hashes_to_the_curve_under_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    real = DhScalar.hash_and_mask

    def spy(self: DhScalar, *arguments: Any) -> Any:
        seen.append(arguments[2])
        return real(self, *arguments)

    monkeypatch.setattr(DhScalar, "hash_and_mask", spy)
    own = OwnIds(pa.array([b"x", b"y"]), Limits())
    session = bytes(range(32))
    core = Core(Role.GUEST, own, PsiParameters(), session, SecretRandom(), Limits())
    points = core.points(0).points
    assert len(seen) == 1
    assert session in seen[0]
    assert b"curve25519_XMD:SHA-512_ELL2_RO_" in seen[0]
    assert len(seen[0]) <= 255
    bare = {hash_to_curve(value, seen[0])[0] for value in (b"x", b"y")}
    assert not bare & {int.from_bytes(bytes(point), "little") for point in points}


def test_the_choice_is_ecdh() -> None:
    setting = Setting({"bank": Role.GUEST, "shop": Role.HOST}, {"bank": 10, "shop": 10**6})
    assert choose(setting) == PsiParameters().protocol
    assert choose(setting, "ideal") == "ideal"


@given(st.integers(0, 2**31), st.integers(0, 40), st.integers(0, 40))
def test_matching_is_exact_where_many_tags_begin_alike(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    pool = np.zeros((64, 16), np.uint8)
    pool[:, 4:10] = np.unpackbits(np.arange(64, dtype=np.uint8)[:, None], axis=1)[:, 2:]
    held = pool[rng.permutation(64)[:n]]
    returned = np.ascontiguousarray(pool[rng.permutation(64)[:m], :10])
    known = {bytes(tag) for tag in returned}
    assert matching.common(held, returned).tolist() == [bytes(tag[:10]) in known for tag in held]


@given(st.integers(5, 16), st.lists(st.binary(min_size=16, max_size=16), unique=True, max_size=40))
def test_what_comes_back_is_found_at_any_width(width: int, rows: list[bytes]) -> None:
    # All begin alike, so that the first bytes say nothing.
    sent = np.frombuffer(b"".join(b"\0" * 4 + row[:12] for row in rows), np.uint8).reshape(-1, 16)
    cut = np.ascontiguousarray(sent[:, :width])
    half = len(cut) // 2
    one, other = cut[:half], cut[half:]
    if {bytes(row) for row in one} & {bytes(row) for row in other}:
        with refused("ATL-PSI-011"):
            matching.refuse_reflected(one, other)
    else:
        matching.refuse_reflected(one, other)
    if len(one):
        with refused("ATL-PSI-011"):
            matching.refuse_reflected(one, np.concatenate([other, one[-1:]]))


def test_both_sides_of_a_value_are_two_tags_and_each_is_the_others() -> None:
    own = OwnIds(pa.array([b"x", b"y"]), Limits())
    session = bytes(range(32))
    made = {
        role: Core(
            role, own, PsiParameters(minimum_intersection=0), session, SecretRandom(), Limits()
        )
        for role in (Role.GUEST, Role.HOST)
    }
    guest, host = made[Role.GUEST], made[Role.HOST]
    greeting = {core: core.hello() for core in made.values()}
    points = {core: core.points(0) for core in made.values()}
    for core, other in ((guest, host), (host, guest)):
        core.agree(greeting[other])
        core.take_points(0, points[other])
        core.check_points()
    commitments = {core: core.commit() for core in made.values()}
    returned = {core: core.tags(0) for core in made.values()}
    tags = {core: {bytes(row) for row in message.tags} for core, message in returned.items()}
    assert not tags[guest] & tags[host]
    for core, other in ((guest, host), (host, guest)):
        core.committed(commitments[other])
        core.take_tags(0, returned[other])
        core.verdict()
        assert core.count == 2
    by_guest = {bytes(row) for row in guest.found_tags()}
    assert by_guest == {bytes(row) for row in host.found_tags()} == tags[guest]
