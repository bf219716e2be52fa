"""The histogram's conformance suite: every implementation against the definition, and liars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.channel.faulty import Fault
from atoll.channel.party import Party
from atoll.channel.record import RecordTransport
from atoll.channel.world import World, run
from atoll.core.limits import Limits
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.operators import histogram
from atoll.operators.histogram import NodeBound, NodeCuts, Opened
from atoll.operators.histogram.api import CHUNK_CELLS, CHUNK_ROWS, Sums
from atoll.operators.histogram.checks import CellCounts
from atoll.operators.histogram.elgamal.messages import Cells, Key, Rows
from atoll.operators.histogram.ideal import left_sums

if TYPE_CHECKING:
    from tests.protocols.conftest import Conformance

ROLES = {"bank": Role.GUEST, "shop": Role.HOST}
IMPLEMENTATIONS = ["ideal", "elgamal"]
WIDTH = 5


@dataclass(frozen=True)
class Case:
    """Two trees' pairs, one host's bins and the nodes it replies for."""

    g: npt.NDArray[np.int32]
    h: npt.NDArray[np.int32]
    bins: npt.NDArray[np.uint8]
    nodes: list[NodeCuts]
    noise: list[Sums] | None = None

    def expected(self) -> list[Sums]:
        found = []
        for index, node in enumerate(self.nodes):
            g, h = (left_sums(v, self.bins, WIDTH, node) for v in (self.g, self.h))
            more = (0, 0) if self.noise is None else self.noise[index]
            found.append((g + more[0], h + more[1]))
        return found

    def bounds(self, *, counted: bool = True) -> list[NodeBound]:
        found = []
        for index, node in enumerate(self.nodes):
            g, h = self.g[node.rows].astype(np.int64), self.h[node.rows].astype(np.int64)
            room = 0
            if self.noise is not None and len(node.columns):
                room = int(max(np.abs(part).max() for part in self.noise[index]))
            lows = [int(np.minimum(v, 0).sum()) - room for v in (g, h)]
            highs = [int(np.maximum(v, 0).sum()) + room for v in (g, h)]
            cells = len(node.columns) if counted else None
            found.append(NodeBound(cells, lows[0], highs[0], lows[1], highs[1]))
        return found


def make(seed: int, rows: int = 40, columns: int = 3, sizes: Sequence[int] = (3, 0, 7, 1)) -> Case:
    rng = np.random.default_rng(seed)
    nodes = []
    for size in sizes:
        count = int(rng.integers(0, rows + 1))
        nodes.append(
            NodeCuts(
                np.sort(rng.permutation(rows)[:count]).astype(np.uint32),
                rng.integers(0, columns, size).astype(np.uint32),
                rng.integers(0, WIDTH - 1, size).astype(np.uint16),
                rng.integers(0, 2, size).astype(np.bool_),
            )
        )
    g = rng.integers(-4096, 4097, rows).astype(np.int32)
    h = rng.integers(0, 1025, rows).astype(np.int32)
    return Case(g, h, rng.integers(0, WIDTH, (rows, columns)).astype(np.uint8), nodes)


def exchange(
    case: Case,
    implementation: str,
    *,
    trees: int = 1,
    bounds: Sequence[NodeBound] | None = None,
    wrap: Callable[[Party], Party] = lambda party: party,
    **options: Any,
) -> World:
    def bank(party: Party) -> list[list[Opened]]:
        side = histogram.guest(wrap(party), implementation)
        side.start()
        found = []
        for tree in range(trees):
            side.publish(tree, case.g, case.h)
            known = case.bounds() if bounds is None else bounds
            found.append(side.collect("shop", f"tree{tree}", known))
        return found

    def shop(party: Party) -> None:
        side = histogram.host(wrap(party), implementation)
        side.start()
        for tree in range(trees):
            side.receive(tree, len(case.g))
            side.reply(f"tree{tree}", case.bins, WIDTH, case.nodes, case.noise)

    return run(ROLES, {"bank": bank, "shop": shop}, **options)


def check_sums(found: Sequence[Opened], expected: Sequence[Sums]) -> None:
    assert len(found) == len(expected)
    for (g, h, inside), (want_g, want_h) in zip(found, expected, strict=True):
        assert inside.dtype == np.bool_
        assert inside.tolist() == [True] * len(g)
        assert g.dtype == h.dtype == np.int64
        assert g.tolist() == want_g.tolist()
        assert h.tolist() == want_h.tolist()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_result_cost_and_reveals_are_as_declared(
    conformance: Conformance, implementation: str
) -> None:
    case, trees = make(1), 2
    world = exchange(case, implementation, trees=trees).check()
    for found in world.results["bank"]:
        check_sums(found, case.expected())
    cells = [len(node.columns) for node in case.nodes] * trees
    values: dict[str, int | list[int]] = {
        "rows": trees * len(case.g),
        "cells": cells,
        "replied_nodes": len(cells),
        "replies": trees,
        "row_messages": trees * -(-len(case.g) // CHUNK_ROWS),
        "cell_messages": trees * -(-sum(cells) // trees // CHUNK_CELLS),
    }
    conformance.check_cost(world, histogram.COSTS[implementation], values)
    conformance.check_reveals(world, histogram.REVEALS[implementation], values)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 60),
    columns=st.integers(1, 4),
    sizes=st.lists(st.integers(0, 6), max_size=4),
    noisy=st.booleans(),
)
def test_it_equals_the_definition(
    implementation: str, seed: int, rows: int, columns: int, sizes: list[int], noisy: bool
) -> None:
    case = make(seed, rows, columns, sizes)
    if noisy:
        rng = np.random.default_rng(seed + 1)
        noise = [tuple(rng.integers(-99, 100, (2, size))) for size in sizes]
        case = replace(case, noise=[(pair[0], pair[1]) for pair in noise])
    world = exchange(case, implementation).check()
    check_sums(world.results["bank"][0], case.expected())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_reply_of_many_messages_arrives_in_order(implementation: str) -> None:
    columns = 1
    sizes = (CHUNK_CELLS - 1, 5, 0, 2) if implementation == "ideal" else (3, 5, 0, 2)
    case = make(4, rows=CHUNK_ROWS + 3 if implementation == "ideal" else 20, sizes=sizes)
    assert case.bins.shape[1] >= columns
    world = exchange(case, implementation, bounds=case.bounds(counted=False)).check()
    check_sums(world.results["bank"][0], case.expected())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_two_hosts_reply_over_the_same_rows(conformance: Conformance, implementation: str) -> None:
    cases = {"shop": make(5), "mill": make(6)}

    def bank(party: Party) -> dict[str, list[Opened]]:
        side = histogram.guest(party, implementation)
        side.start()
        side.publish(0, cases["shop"].g, cases["shop"].h)
        wide = NodeBound(None, -(10**6), 10**6, 0, 10**6)
        return {host: side.collect(host, "t", [wide] * 4) for host in party.hosts}

    def host(party: Party) -> None:
        side, case = histogram.host(party, implementation), cases[party.name]
        side.start()
        side.receive(0, len(case.g))
        side.reply("t", case.bins, WIDTH, case.nodes)

    roles = {**ROLES, "mill": Role.HOST}
    world = run(roles, {"bank": bank, "shop": host, "mill": host}).check()

    def between(sender: str, receiver: str) -> dict[str, int | list[int]]:
        sent = cases["mill" if "mill" in (sender, receiver) else "shop"]
        cells = [len(node.columns) for node in sent.nodes]
        counts = dict.fromkeys(("replies", "row_messages", "cell_messages"), 1)
        return {**counts, "rows": len(cases["shop"].g), "cells": cells, "replied_nodes": len(cells)}

    conformance.check_cost(world, histogram.COSTS[implementation], between, roles)
    for name, case in cases.items():
        same = replace(case, g=cases["shop"].g, h=cases["shop"].h)
        check_sums(world.results["bank"][name], same.expected())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("change", ["more", "fewer", "nodes", "limit"])
def test_replies_that_do_not_fit_are_refused(
    conformance: Conformance, implementation: str, change: str
) -> None:
    case = make(7)
    bounds = case.bounds()
    if change == "nodes":
        bounds = bounds[1:]
    elif change == "limit":
        bounds[2] = replace(bounds[2], cells=None, most=6)
    else:
        bounds[2] = replace(bounds[2], cells=8 if change == "more" else 6)
    conformance.check_refused(exchange(case, implementation, bounds=bounds), "ATL-HIS-003")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_sums_outside_their_bounds_are_marked_and_end_nothing(implementation: str) -> None:
    case = make(7)
    bounds, (g, h) = case.bounds(), case.expected()[2]
    order = np.sort(g)
    bounds[2] = replace(bounds[2], g_low=int(order[2]), g_high=int(order[-2]))
    found = exchange(case, implementation, bounds=bounds).check().results["bank"][0][2]
    inside = (order[2] <= g) & (g <= order[-2])
    assert 0 < inside.sum() < len(g)
    assert found.inside.tolist() == inside.tolist()
    assert (found.g[inside].tolist(), found.h[inside].tolist()) == (
        g[inside].tolist(),
        h[inside].tolist(),
    )


def lied_to(conformance: Conformance, liar: str, kind: type[Message], change: Any) -> World:
    lie = conformance.instead(kind, change)

    def wrap(party: Party) -> Party:
        return conformance.lying(party, lie) if party.name == liar else party

    return exchange(make(8), "elgamal", wrap=wrap)


def _with_point(message: Any, *points: bytes) -> Any:
    cells = message.cells.copy()
    for index, point in enumerate(points):
        cells[1, 64 * index : 64 * index + 64] = np.frombuffer(point, np.uint8)
    return replace(message, cells=cells)


OFF_CURVE = (3).to_bytes(32, "little") + (4).to_bytes(32, "little")
NOT_CANONICAL = bytes(32) + (2**255 - 19 + 1).to_bytes(32, "little")


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [
        (Key, lambda m: [replace(m, session=bytes(32))], "ATL-HIS-006"),
        (Key, lambda m: [replace(m, public=m.public[:-1])], "ATL-COD-002"),
        (Key, lambda m: [replace(m, public=bytes(len(m.public)))], "ATL-CRY-005"),
        (Rows, lambda m: [replace(m, tree=9)], "ATL-HIS-002"),
        (Rows, lambda m: [replace(m, first=1)], "ATL-HIS-002"),
        (Rows, lambda m: [replace(m, cells=m.cells[1:])], "ATL-HIS-002"),
        (Rows, lambda m: [CellCounts(np.zeros(1, np.uint32))], "ATL-COD-002"),
        (Rows, lambda m: [_with_point(m, OFF_CURVE)], "ATL-CRY-004"),
        (Rows, lambda m: [_with_point(m, NOT_CANONICAL)], "ATL-CRY-004"),
    ],
)
def test_a_guest_that_lies_is_refused(
    conformance: Conformance, kind: type[Message], change: Any, code: str
) -> None:
    world = lied_to(conformance, "bank", kind, change)
    conformance.check_refused(world, code, by="shop")


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [
        (CellCounts, lambda m: [CellCounts(m.counts[1:])], "ATL-HIS-003"),
        (CellCounts, lambda m: [CellCounts(m.counts + np.uint32(1))], "ATL-HIS-003"),
        (Cells, lambda m: [replace(m, cells=m.cells[1:])], "ATL-HIS-003"),
        (Cells, lambda m: [_with_point(m, OFF_CURVE)], "ATL-HIS-004"),
        (Cells, lambda m: [_with_point(m, NOT_CANONICAL)], "ATL-HIS-004"),
    ],
)
def test_a_host_that_lies_is_refused(
    conformance: Conformance, kind: type[Message], change: Any, code: str
) -> None:
    conformance.check_refused(lied_to(conformance, "shop", kind, change), code)


@pytest.mark.parametrize("liar", ["bank", "shop"])
@pytest.mark.parametrize("kind", ["kill", "drop", "truncate"])
def test_a_fault_at_any_message_ends_both(liar: str, kind: Any) -> None:
    whole = exchange(make(9), "elgamal", record=True).check()
    transport = whole.transports[liar]
    assert isinstance(transport, RecordTransport)
    sent = [at for at, entry in enumerate(transport.entries) if entry.direction == "sent"]
    other = "shop" if liar == "bank" else "bank"
    for at in range(len(transport.entries)) if kind == "kill" else sent:
        world = exchange(make(9), "elgamal", faults={liar: [Fault(kind, at)]})
        assert other in world.errors or at > sent[-1], (kind, at)
        assert set(world.results) | set(world.errors) == set(ROLES)


def test_more_rows_than_the_limits_are_refused(conformance: Conformance) -> None:
    for implementation in IMPLEMENTATIONS:
        world = exchange(make(1), implementation, limits=Limits(rows=39))
        assert conformance.code(world, "shop") == "ATL-HIS-001"


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_steps_out_of_order_are_refused(conformance: Conformance, implementation: str) -> None:
    def entry(party: Party) -> None:
        if party.role == Role.HOST:
            case = make(1)
            side = histogram.host(party, implementation)
            side.reply("t", case.bins, WIDTH, case.nodes)
        elif implementation == "elgamal":
            histogram.guest(party, implementation).publish(0, make(1).g, make(1).h)

    world = run(ROLES, entry)
    assert conformance.code(world, "shop") == "ATL-HIS-005"
    if implementation == "elgamal":
        assert conformance.code(world, "bank") == "ATL-HIS-005"


def sent_bodies(world: World, party: str, kind: type[Message]) -> list[Any]:
    transport = world.transports[party]
    assert isinstance(transport, RecordTransport)
    bodies = [e.body for e in transport.entries if e.direction == "sent"]
    return [kind.decode(body) for body in bodies if kind.kind.encode() in body[:64]]


def test_equal_values_and_empty_sums_never_look_alike() -> None:
    case = make(10, sizes=(6, 6))
    nothing = replace(case.nodes[0], rows=np.zeros(0, np.uint32))
    same = replace(case, g=case.g * 0, h=case.h * 0, nodes=[nothing, nothing])
    world = exchange(same, "elgamal", trees=2, record=True).check()
    rows = np.concatenate([message.cells for message in sent_bodies(world, "bank", Rows)])
    cells = np.concatenate([message.cells for message in sent_bodies(world, "shop", Cells)])
    points = np.concatenate([rows, cells]).reshape(-1, 64)
    # 80 encryptions of (0, 0) and 24 sums over no rows: every point is new.
    assert len({bytes(point) for point in points}) == 3 * (80 + 24)
