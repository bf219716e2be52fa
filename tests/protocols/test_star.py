"""One guest, many hosts: joint rows, what each learns, and hosts or guests that lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.channel.party import Party
from atoll.channel.world import World, run
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.operators import psi
from atoll.operators.psi import star
from atoll.operators.psi.ecdh.messages import Bitmap, Links
from atoll.operators.psi.star import Joint

if TYPE_CHECKING:
    from tests.protocols.conftest import Conformance

ROLES = {"bank": Role.GUEST, "shop": Role.HOST, "mill": Role.HOST}


def ids(values: Iterable[object]) -> pa.Array:
    return pa.array([str(value).encode() for value in values], pa.binary())


HELD = {"bank": ids(range(60)), "shop": ids(range(90, 20, -1)), "mill": ids(range(0, 100, 3))}
PARAMETERS = psi.PsiParameters(minimum_intersection=3, chunk_rows=32)


def meet(held: dict[str, pa.Array], parameters: psi.PsiParameters) -> World:
    return run(ROLES, lambda party: psi.run(party, held[party.name], parameters))


@pytest.mark.parametrize("receivers", ["both", "guest"])
def test_the_joint_rows_are_aligned_and_declared(conformance: Conformance, receivers: str) -> None:
    parameters = PARAMETERS.model_copy(update={"receivers": receivers})
    world = meet(HELD, parameters).check()
    joint = sorted(str(n).encode() for n in range(21, 60, 3))
    for name, result in world.results.items():
        assert result.count == len(joint)
        if parameters.entitles(ROLES[name]):
            assert HELD[name].take(pa.array(result.indices)).to_pylist() == joint
        else:
            assert result.indices is None
    counts = {"shop": 39, "mill": 20}

    def between(sender: str, receiver: str) -> dict[str, int | list[int]]:
        host = receiver if sender == "bank" else sender
        sizes = {"rows_guest": 60, "rows_host": len(HELD[host]), "count": counts[host]}
        return {**sizes, "chunk_rows": 32, "joint": 13}

    conformance.check_cost(world, star.cost(parameters), between, ROLES)
    for host in counts:
        sizes = between("bank", host)
        expected = {
            (reported.sender, reported.receiver, reported.message, reported.field): reported.count(
                sizes
            )
            for reported in star.reveals(parameters)
        }
        seen = {
            (str(ROLES[sender]), str(ROLES[receiver]), kind, field): number
            for channel in world.channels.values()
            for (sender, receiver, kind, field), number in channel.disclosures.counts.items()
            if host in (sender, receiver) and number
        }
        assert seen == expected


SETS = st.lists(st.integers(0, 40), unique=True, max_size=30)


@given(bank=SETS, shop=SETS, mill=SETS)
def test_it_equals_the_intersection_of_sets(
    bank: list[int], shop: list[int], mill: list[int]
) -> None:
    held = {"bank": ids(bank), "shop": ids(shop), "mill": ids(mill)}
    parameters = psi.PsiParameters(minimum_intersection=0, chunk_rows=16)
    world = meet(held, parameters).check()
    joint = sorted(str(n).encode() for n in {*bank} & {*shop} & {*mill})
    for name, result in world.results.items():
        assert held[name].take(pa.array(result.indices)).to_pylist() == joint


def test_too_few_joint_rows_are_refused_with_one_constant_message() -> None:
    reported: list[bytes] = []

    for overlap in (0, 2):
        held = HELD | {"shop": ids(range(30)), "mill": ids(range(30 - overlap, 60))}
        world = meet(held, PARAMETERS)
        codes = sorted(error.code for error in world.errors.values())  # type: ignore[attr-defined]
        assert len(codes) == 3
        assert set(codes) <= {"ATL-PSI-004", "ATL-NET-004"}
        assert "ATL-PSI-004" in codes
        counts = world.channels["bank"].disclosures.counts
        assert counts["bank", "shop", "psi.star.joint", "count"] == 0
        reported.append(Joint(None).encode())
    assert len(set(reported)) == 1


def lied_to(conformance: Conformance, liar: str, kind: type[Message], change: Any) -> World:
    lie = conformance.instead(kind, change)

    def entry(party: Party) -> psi.PsiResult:
        endpoint = conformance.lying(party, lie) if party.name == liar else party
        return psi.run(endpoint, HELD[party.name], PARAMETERS)

    return run(ROLES, entry)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda m: [replace(m, positions=m.positions[1:])], "ATL-PSI-007"),
        (lambda m: [replace(m, first=1)], "ATL-PSI-007"),
        (lambda m: [replace(m, positions=m.positions + np.uint32(1 << 20))], "ATL-PSI-010"),
        (lambda m: [replace(m, positions=m.positions * np.uint32(0))], "ATL-PSI-010"),
    ],
)
def test_links_that_lie_are_refused(conformance: Conformance, change: Any, code: str) -> None:
    world = lied_to(conformance, "shop", Links, change)
    assert conformance.code(world, "bank") == code
    assert set(world.errors) == set(ROLES)


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [
        (Joint, lambda m: [Joint(1 << 30)], "ATL-PSI-010"),
        (Joint, lambda m: [Joint(2)], "ATL-PSI-004"),
        (Joint, lambda m: [Joint(m.count - 1)], "ATL-PSI-009"),
        (Bitmap, lambda m: [replace(m, bits=m.bits | 255)], "ATL-PSI-009"),
    ],
)
def test_a_guest_that_lies_is_refused(
    conformance: Conformance, kind: type[Message], change: Any, code: str
) -> None:
    world = lied_to(conformance, "bank", kind, change)
    assert code in (conformance.code(world, "shop"), conformance.code(world, "mill"))
    assert {"shop", "mill"} <= set(world.errors)


def test_what_a_star_does_not_do_is_refused(conformance: Conformance) -> None:
    for changed in ({"receivers": "host"}, {"receivers": "none"}, {"protocol": "ideal"}):
        world = meet(HELD, PARAMETERS.model_copy(update=changed))
        assert "ATL-PSI-001" in {conformance.code(world, name) for name in ROLES}
