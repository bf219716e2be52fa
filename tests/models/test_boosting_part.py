"""Parts as data: what is stored comes back, what is not a part is refused; walking and scoring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from atoll.channel import world
from atoll.channel.party import Party
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.models.boosting import (
    SCORE_REVEALS,
    GuestPart,
    HostPart,
    Part,
    Split,
    Tree,
    importance,
    part_from_bytes,
    part_to_bytes,
    score,
    scoring,
)
from atoll.models.boosting.messages import BATCH_ROWS

Floats = npt.NDArray[np.float64]
MODEL = "0123456789abcdef" * 2


@st.composite
def trees(draw: st.DrawFn, sizes: tuple[int, ...]) -> Tree:
    """Return a random tree whose splits exist."""
    owner, left, right = [-1], [0], [0]
    for _ in range(draw(st.integers(0, 6))):
        leaves = [node for node, who in enumerate(owner) if who < 0]
        at = draw(st.sampled_from([leaf for leaf in leaves if leaf >= max(left)] or leaves))
        owner[at] = draw(st.integers(0, len(sizes) - 1))
        left[at], right[at] = len(owner), len(owner) + 1
        owner += [-1, -1]
        left += [0, 0]
        right += [0, 0]
    weights = st.floats(-3, 3, allow_nan=False)
    return Tree(
        owner=tuple(owner),
        split=tuple(0 if o < 0 else draw(st.integers(0, sizes[o] - 1)) for o in owner),
        left=tuple(left),
        right=tuple(right),
        weight=tuple(draw(weights) if o < 0 else 0.0 for o in owner),
        gain=tuple(0.0 if o < 0 else draw(st.floats(0, 9)) for o in owner),
        rows=tuple(draw(st.integers(0, 99)) for _ in owner),
    )


@st.composite
def models(draw: st.DrawFn) -> tuple[GuestPart, dict[str, HostPart]]:
    """Return a guest's part and the parts of its hosts."""
    hosts = ("shop", "telco")[: draw(st.integers(0, 2))]
    sizes = tuple(draw(st.integers(1, 4)) for _ in range(1 + len(hosts)))
    split = st.builds(
        Split,
        column=st.integers(0, 1),
        threshold=st.floats(-2, 2, allow_nan=False),
        missing_left=st.booleans(),
    )
    held = [tuple(draw(split) for _ in range(size)) for size in sizes]
    guest = GuestPart(
        model=MODEL,
        party="bank",
        hosts=hosts,
        columns=("age", "income"),
        base_margin=draw(st.floats(-2, 2)),
        splits=held[0],
        host_splits=sizes[1:],
        trees=tuple(draw(st.lists(trees(sizes), max_size=4))),
    )
    parts = {
        host: HostPart(model=MODEL, party=host, guest="bank", columns=("a", "b"), splits=held[at])
        for at, host in enumerate(hosts, 1)
    }
    return guest, parts


def explicit(part: GuestPart, hosts: dict[str, HostPart], rows: dict[str, Floats]) -> Floats:
    """Walk row by row."""
    splits = [(part.party, part.splits), *((h, hosts[h].splits) for h in part.hosts)]
    out = []
    for row in range(len(rows[part.party])):
        margin = part.base_margin
        for tree in part.trees:
            at = 0
            while tree.owner[at] >= 0:
                name, held = splits[tree.owner[at]]
                split = held[tree.split[at]]
                value = rows[name][row, split.column]
                left = split.missing_left if np.isnan(value) else value < split.threshold
                at = tree.left[at] if left else tree.right[at]
            margin += tree.weight[at]
        out.append(margin)
    return scoring.probability(np.array(out))


def scored(party: Party, part: Part, features: Floats) -> Floats | None:
    """Score features that stand in the part's own order."""
    return score(party, part, features, part.columns)


@given(models(), st.integers(1, 30), st.integers(0, 1 << 30))
def test_joint_scoring_is_what_walking_by_hand_gives(
    model: tuple[GuestPart, dict[str, HostPart]], rows: int, seed: int
) -> None:
    guest, hosts = model
    rng = np.random.default_rng(seed)
    tables = {name: rng.normal(size=(rows, 2)) for name in ("bank", *hosts)}
    for features in tables.values():
        features[rng.random((rows, 2)) < 0.2] = np.nan
    parts: dict[str, Part] = {"bank": guest, **hosts}
    roles = {name: Role.HOST if name in hosts else Role.GUEST for name in parts}
    done = world.run(roles, lambda p: scored(p, parts[p.name], tables[p.name])).check()
    np.testing.assert_array_equal(done.results["bank"], explicit(guest, hosts, tables))
    assert all(done.results[host] is None for host in hosts)


def test_one_round_however_many_rows_and_declared_reveals(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = BATCH_ROWS + 5
    # Small messages, so that a batch needs several.
    monkeypatch.setattr(scoring, "_BUDGET", 2 * 8192 + 1)
    splits = tuple(Split(column=0, threshold=float(at)) for at in range(-2, 3))
    tree = Tree(
        owner=(1, -1, -1),
        split=(4, 0, 0),
        left=(1, 0, 0),
        right=(2, 0, 0),
        weight=(0.0, -1.0, 1.0),
        gain=(1.0, 0.0, 0.0),
        rows=(2, 1, 1),
    )
    guest = GuestPart(
        model=MODEL,
        party="bank",
        hosts=("shop",),
        columns=(),
        base_margin=0.0,
        splits=(),
        host_splits=(5,),
        trees=(tree,),
    )
    host = HostPart(model=MODEL, party="shop", guest="bank", columns=("a",), splits=splits)
    parts: dict[str, Part] = {"bank": guest, "shop": host}
    column = np.random.default_rng(0).normal(size=(rows, 1)) * 2
    tables = {"bank": np.empty((rows, 0)), "shop": column}
    roles = {"bank": Role.GUEST, "shop": Role.HOST}
    done = world.run(roles, lambda p: scored(p, parts[p.name], tables[p.name])).check()
    expected = scoring.probability(np.where(column[:, 0] < 2.0, -1.0, 1.0))
    np.testing.assert_array_equal(done.results["bank"], expected)
    assert done.channels["bank"].counters.total().rounds == 1
    reported = done.channels["shop"].disclosures.counts
    values = {"host_splits": 5, "rows": rows}
    assert reported == {
        ("shop", "bank", line.message, line.field): line.count(values) for line in SCORE_REVEALS
    }
    assert not done.channels["bank"].disclosures.counts


@given(models())
def test_parts_are_stored_canonically(model: tuple[GuestPart, dict[str, HostPart]]) -> None:
    guest, hosts = model
    every: list[Part] = [guest, *hosts.values()]
    for part in every:
        data = part_to_bytes(part)
        assert part_from_bytes(data) == part
        assert part_to_bytes(part_from_bytes(data)) == data
    assert sum(line.count for line in importance(guest)) == sum(
        owner >= 0 for tree in guest.trees for owner in tree.owner
    )
    for host in hosts.values():
        lines = importance(host)
        assert sum(line.count for line in lines) == len(host.splits)
        assert all(line.gain is None for line in lines)


GOOD = HostPart(
    model=MODEL,
    party="shop",
    guest="bank",
    columns=("a",),
    splits=(Split(column=0, threshold=1.5),),
)


@pytest.mark.parametrize(
    ("left", "right"),
    [((0, 0, 0), (2, 0, 0)), ((1, 0, 0), (1, 0, 0)), ((1, 0, 0), (3, 0, 0)), ((2, 0), (1, 0))],
)
def test_what_is_no_tree_is_refused(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    flat = (0.0,) * 3
    with pytest.raises(ValidationError):
        Tree(
            owner=(0, -1, -1),
            split=(0, 0, 0),
            left=left,
            right=right,
            weight=flat,
            gain=flat,
            rows=(1, 1, 1),
        )


def _wrong_party(party: Party) -> Any:
    return score(party, GOOD.model_copy(update={"party": "telco"}), np.zeros((2, 1)), ("a",))


def _wrong_columns(party: Party) -> Any:
    return score(party, GOOD, np.zeros((2, 3)), ("b", "c", "d"))


def _names_too_few(party: Party) -> Any:
    return score(party, GOOD, np.zeros((2, 3)), ("a", "b"))


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (_wrong_party, "ATL-MOD-002"),
        (_wrong_columns, "ATL-MOD-003"),
        (_names_too_few, "ATL-MOD-003"),
    ],
)
def test_scoring_checks_the_part_first(entry: Callable[[Party], Any], code: str) -> None:
    done = world.run(
        {"bank": Role.GUEST, "shop": Role.HOST}, {"bank": lambda p: None, "shop": entry}
    )
    error = done.errors["shop"]
    assert isinstance(error, AtollError)
    assert error.code == code
