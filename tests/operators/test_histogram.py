"""The histogram's definition and its checks on a party's own inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from atoll.channel.party import Party
from atoll.channel.world import run
from atoll.core.errors import UserError
from atoll.core.names import Role
from atoll.operators.histogram import NodeBound, NodeCuts, guest, host
from atoll.operators.histogram.checks import check_nodes, check_pairs
from atoll.operators.histogram.ideal import left_sums

BINS = np.array([[0, 2], [1, 0], [3, 1], [0, 3]], dtype=np.uint8)
NODE = NodeCuts(
    np.array([0, 1, 2], np.uint32),
    np.array([0, 0, 1, 0], np.uint32),
    np.array([0, 1, 1, 1], np.uint16),
    np.array([False, False, False, True]),
)


def test_left_sums_are_bins_up_to_the_cut_and_the_missing_where_asked() -> None:
    values = np.array([1, 10, 100, 1000], np.int32)
    # Column 0 of rows 0, 1, 2: bins 0, 1, missing; column 1: bins 2, 0, 1.
    assert left_sums(values, BINS, 4, NODE).tolist() == [1, 11, 110, 111]


def test_left_sums_are_exact_beyond_float_precision() -> None:
    values = np.full(4, 2**31 - 1, np.int32)
    bins = np.zeros((4, 1), np.uint8)
    rows = np.zeros(1 << 18, np.uint32)
    cut = NodeCuts(rows, np.zeros(1, np.uint32), np.zeros(1, np.uint16), np.zeros(1, np.bool_))
    assert left_sums(values, bins, 2, cut).tolist() == [(2**31 - 1) << 18]


@pytest.mark.parametrize(
    "changed",
    [
        replace(NODE, rows=np.array([4], np.uint32)),
        replace(NODE, rows=np.array([0], np.int64)),
        replace(NODE, columns=np.array([0, 0, 2, 0], np.uint32)),
        replace(NODE, cuts=np.array([0, 1, 3, 1], np.uint16)),
        replace(NODE, cuts=np.array([0, 1], np.uint16)),
        replace(NODE, missing_left=np.array([False])),
    ],
)
def test_nodes_that_do_not_fit_are_refused(changed: NodeCuts) -> None:
    with pytest.raises(UserError) as caught:
        check_nodes(4, BINS, 4, [changed], None)
    assert caught.value.code == "ATL-HIS-001"


def test_bins_width_and_noise_that_do_not_fit_are_refused() -> None:
    short = (np.zeros(3, np.int64), np.zeros(3, np.int64))
    for rows, width, noise in ((5, 4, None), (4, 1, None), (4, 257, None), (4, 4, [short])):
        with pytest.raises(UserError):
            check_nodes(rows, BINS, width, [NODE], noise)


def test_gradients_of_other_dtypes_are_refused() -> None:
    g = np.zeros(3, np.int32)
    for h in (np.zeros(3, np.int64), np.zeros(2, np.int32), np.zeros((3, 1), np.int32)):
        with pytest.raises(UserError):
            check_pairs(g, h)  # type: ignore[arg-type]


def test_an_unknown_implementation_is_refused() -> None:
    def entry(party: Party) -> None:
        (guest if party.role == Role.GUEST else host)(party, "paper")

    world = run({"bank": Role.GUEST, "shop": Role.HOST}, entry)
    with pytest.raises(UserError) as caught:
        world.check()
    assert caught.value.code == "ATL-HIS-001"


def test_bounds_say_what_they_bound() -> None:
    assert NodeBound(3, -1, 1, 0, 2).most >= 1 << 16
