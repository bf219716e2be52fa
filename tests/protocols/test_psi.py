"""The intersection's conformance suite: every implementation against the definition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
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
from atoll.crypto.reference.curve25519 import MONTGOMERY_A, PRIME, is_square
from atoll.operators import psi
from atoll.operators.psi.ecdh.core import Core
from atoll.operators.psi.ecdh.messages import Bitmap, Commitment, Hello, Points, Tags, Verdict

if TYPE_CHECKING:
    from tests.protocols.conftest import Conformance

ROLES = {"bank": Role.GUEST, "shop": Role.HOST}
PROTOCOLS = ["ideal", "ecdh"]
RECEIVERS = ["both", "guest", "host", "none"]


def ids(values: Iterable[object]) -> pa.Array:
    return pa.array([str(value).encode() for value in values], pa.binary())


def intersect(
    guest: pa.Array, host: pa.Array, parameters: psi.PsiParameters, **options: Any
) -> World:
    held = {"bank": guest, "shop": host}
    return run(ROLES, lambda party: psi.run(party, held[party.name], parameters), **options)


GUEST, HOST = ids(range(70)), ids(range(100, 30, -1))


def parameters(**changes: Any) -> psi.PsiParameters:
    return psi.PsiParameters(**{"minimum_intersection": 5, **changes})


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("receivers", RECEIVERS)
def test_result_cost_and_reveals_are_as_declared(
    conformance: Conformance, protocol: str, receivers: str
) -> None:
    chosen = parameters(protocol=protocol, receivers=receivers, chunk_rows=16)
    host = ids(range(100, 30, -2))
    world = intersect(GUEST, host, chosen).check()
    shared = sorted(str(n).encode() for n in range(32, 70, 2))
    for name, held in (("bank", GUEST), ("shop", host)):
        result = world.results[name]
        assert result.count == len(shared)
        if chosen.entitles(ROLES[name]):
            assert result.indices.dtype == np.int64
            assert held.take(pa.array(result.indices)).to_pylist() == shared
        else:
            assert result.indices is None
    values = {
        "rows_guest": len(GUEST),
        "rows_host": len(host),
        "count": len(shared),
        "chunk_rows": 16,
        "id_bytes_host": sum(map(len, host.to_pylist())),
    }
    conformance.check_cost(world, psi.cost(chosen), values)
    conformance.check_reveals(world, psi.reveals(chosen), values)


WORDS = st.lists(st.text(max_size=20).map(str.encode), unique=True, max_size=30)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(common=WORDS, guest=WORDS, host=WORDS, chunk=st.integers(1, 40), order=st.randoms())
def test_it_equals_the_intersection_of_sets(
    protocol: str,
    common: list[bytes],
    guest: list[bytes],
    host: list[bytes],
    chunk: int,
    order: Any,
) -> None:
    one, other = sorted({*common, *guest}), sorted({*common, *host})
    order.shuffle(one)
    order.shuffle(other)
    chosen = parameters(protocol=protocol, minimum_intersection=0, chunk_rows=chunk)
    held = pa.array(one, pa.binary()), pa.chunked_array([other[:3], other[3:]], pa.large_binary())
    world = intersect(*held, chosen).check()
    for name, values in (("bank", one), ("shop", other)):
        result = world.results[name]
        assert [values[row] for row in result.indices] == sorted({*one} & {*other})
        assert result.count == len(result.indices)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_equal_none_equal_and_one_row(protocol: str) -> None:
    chosen = parameters(protocol=protocol, minimum_intersection=0)
    for guest, host, count in (
        (ids("abc"), ids("cab"), 3),
        (ids("abc"), ids("xyz"), 0),
        (ids("a"), ids("a"), 1),
        (ids("a"), ids("bcdefgh"), 0),
        (ids(""), ids("ab"), 0),
        (ids(["é", "号", ""]), ids(["", "号", "e"]), 2),
    ):
        world = intersect(guest, host, chosen).check()
        for name, held in (("bank", guest), ("shop", host)):
            assert world.results[name].count == count == len(world.results[name].indices)
            assert held.take(pa.array(world.results[name].indices)).null_count == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_sets_below_the_minimum_are_refused_at_both(
    conformance: Conformance, protocol: str
) -> None:
    world = intersect(ids(range(4)), HOST, parameters(protocol=protocol))
    conformance.check_refused_by_both(world, "ATL-PSI-003")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_intersection_below_the_minimum_is_refused_at_both(
    conformance: Conformance, protocol: str
) -> None:
    world = intersect(ids(range(34)), HOST, parameters(protocol=protocol))
    conformance.check_refused_by_both(world, "ATL-PSI-004")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_own_ids_that_cannot_be_used_are_refused(conformance: Conformance, protocol: str) -> None:
    chosen = parameters(protocol=protocol)
    for wrong, code in (
        (pa.array([1, 2, 3]), "ATL-PSI-001"),
        (pa.array([b"a", None]), "ATL-PSI-001"),
        (pa.array([b"x" * 257]), "ATL-PSI-001"),
        (pa.array([b"b", b"a", b"b"]), "ATL-PSI-002"),
    ):
        conformance.check_refused(intersect(wrong, HOST, chosen), code)
    world = intersect(GUEST, HOST, chosen, limits=Limits(rows=50))
    assert conformance.code(world, "bank") == "ATL-PSI-001"


def twist_and_small_order() -> list[tuple[int, str]]:
    def on_curve(u: int) -> bool:
        return is_square(u**3 + MONTGOMERY_A * u**2 + u)

    twisted = next(u for u in range(2, 100) if not on_curve(u))
    low = next(u for u in range(2, 19) if on_curve(u))
    return [(twisted, "ATL-CRV-002"), (low + PRIME, "ATL-CRV-001"), (0, "ATL-CRV-003")]


def with_point(message: Points, u: int) -> Points:
    points = message.points.copy()
    points[1] = np.frombuffer(u.to_bytes(32, "little"), np.uint8)
    return replace(message, points=points)


@pytest.mark.parametrize("case", range(3))
def test_points_off_the_curve_are_refused(conformance: Conformance, case: int) -> None:
    u, code = twist_and_small_order()[case]
    lie = conformance.instead(Points, lambda message: [with_point(message, u)])
    world = lied_to(conformance, lie)
    assert conformance.code(world, "bank").startswith("ATL-CRV-00")
    conformance.check_refused(world, conformance.code(world, "bank"))
    assert conformance.code(world, "bank") == code


def lied_to(conformance: Conformance, lie: Any, **changes: Any) -> World:
    def entry(party: Party) -> psi.PsiResult:
        if party.name == "bank":
            return psi.run(party, GUEST, parameters(chunk_rows=32))
        changed = parameters(**{"chunk_rows": 32, **changes})
        return psi.run(conformance.lying(party, lie), HOST, changed)

    return run(ROLES, entry)


def _with_duplicate(message: Points) -> Points:
    points = message.points.copy()
    points[3] = points[0]
    return replace(message, points=points)


def _all_alike(message: Tags) -> Tags:
    return replace(message, tags=np.repeat(message.tags[:1], len(message.tags), axis=0))


LIES: list[tuple[str, type[Message], Any, str]] = [
    ("too many rows", Hello, lambda m: [replace(m, rows=1 << 32)], "ATL-PSI-006"),
    ("another session", Hello, lambda m: [replace(m, agreement=bytes(32))], "ATL-PSI-005"),
    ("fewer rows than sent", Hello, lambda m: [replace(m, rows=60)], "ATL-PSI-007"),
    ("points out of order", Points, lambda m: [replace(m, first=m.first + 1)], "ATL-PSI-007"),
    ("points repeated", Points, lambda m: [m, m], "ATL-PSI-007"),
    ("a point missing", Points, lambda m: [replace(m, points=m.points[1:])], "ATL-PSI-007"),
    ("a point twice", Points, lambda m: [_with_duplicate(m)], "ATL-PSI-008"),
    ("no points", Points, lambda m: [], "ATL-NET-002"),
    ("another message", Points, lambda m: [Verdict(True)], "ATL-COD-002"),
    ("another commitment", Commitment, lambda m: [Commitment(bytes(32))], "ATL-PSI-012"),
    ("another secret", Tags, lambda m: [replace(m, opening=bytes(32))], "ATL-PSI-012"),
    (
        "tags in another order",
        Tags,
        lambda m: [replace(m, tags=m.tags[::-1].copy())],
        "ATL-PSI-012",
    ),
    ("tags out of order", Tags, lambda m: [replace(m, first=5)], "ATL-PSI-007"),
    ("narrow tags", Tags, lambda m: [replace(m, tags=m.tags[:, 1:])], "ATL-PSI-007"),
    ("a tag missing", Tags, lambda m: [replace(m, tags=m.tags[1:])], "ATL-PSI-007"),
    ("long bitmap", Bitmap, lambda m: [replace(m, bits=np.append(m.bits, 0))], "ATL-PSI-009"),
    ("bitmap elsewhere", Bitmap, lambda m: [replace(m, first=1)], "ATL-PSI-009"),
    ("full bitmap", Bitmap, lambda m: [replace(m, bits=m.bits | 255)], "ATL-PSI-009"),
    ("empty bitmap", Bitmap, lambda m: [replace(m, bits=m.bits & 0)], "ATL-PSI-009"),
    ("refusal", Verdict, lambda m: [Verdict(False)], "ATL-PSI-004"),
]


@pytest.mark.parametrize(("kind", "change", "code"), [lie[1:] for lie in LIES])
def test_lies_are_refused(
    conformance: Conformance, kind: type[Message], change: Any, code: str
) -> None:
    world = lied_to(conformance, conformance.instead(kind, change))
    if code == "ATL-NET-002":
        assert conformance.code(world, "bank").startswith("ATL-NET-00")
        assert len(world.errors) == 2
    else:
        conformance.check_refused(world, code)


def test_a_tag_in_common_that_is_returned_twice_is_refused(
    conformance: Conformance, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Core.tags

    def tags(core: Core, chunk: int) -> Tags:
        made = honest(core, chunk)
        return _all_alike(made) if vars(core)["_role"] == Role.HOST else made

    monkeypatch.setattr(Core, "tags", tags)
    # All ids are in common, so that whichever tag is repeated is one that is found.
    conformance.check_refused(intersect(GUEST, GUEST, parameters()), "ATL-PSI-008")


def test_padding_of_the_bitmap_must_be_zero(conformance: Conformance) -> None:
    def padded(message: Bitmap) -> Iterable[Message]:
        # 70 rows fill 9 bytes but for two bits; the number of bits stays right.
        bits = np.unpackbits(message.bits, bitorder="little")
        bits[np.flatnonzero(bits)[0]] = 0
        bits[71] = 1
        return [replace(message, bits=np.packbits(bits, bitorder="little"))]

    world = lied_to(conformance, conformance.instead(Bitmap, padded))
    conformance.check_refused(world, "ATL-PSI-009")


def test_other_parameters_are_refused(conformance: Conformance) -> None:
    world = lied_to(conformance, lambda tag, message: [message], receivers="none")
    conformance.check_refused_by_both(world, "ATL-PSI-005")


@pytest.mark.parametrize("kind", ["kill", "drop", "truncate"])
def test_a_fault_at_any_message_ends_both(kind: Any) -> None:
    chosen = parameters(chunk_rows=64)
    whole = intersect(GUEST, HOST, chosen, record=True).check()
    transport = whole.transports["shop"]
    assert isinstance(transport, RecordTransport)
    sent = [at for at, entry in enumerate(transport.entries) if entry.direction == "sent"]
    for at in range(len(transport.entries)) if kind == "kill" else sent:
        world = intersect(GUEST, HOST, chosen, faults={"shop": [Fault(kind, at)]})
        # Whoever dies after its last word has still told the other everything.
        assert "bank" in world.errors or at > sent[-1], (kind, at)
        assert set(world.results) | set(world.errors) == {"bank", "shop"}


def bodies(world: World, party: str, kind: type[Message], direction: str = "sent") -> list[Any]:
    transport = world.transports[party]
    assert isinstance(transport, RecordTransport)
    found = [entry for entry in transport.entries if entry.direction == direction]
    marked = [entry.body for entry in found if kind.kind.encode() in entry.body[:64]]
    return [kind.decode(body) for body in marked]


def points_of(world: World, party: str) -> np.ndarray[Any, Any]:
    return np.concatenate([message.points for message in bodies(world, party, Points)])


def test_masked_lists_of_two_runs_share_nothing() -> None:
    runs = [intersect(GUEST, GUEST, parameters(), record=True).check() for _ in range(2)]
    lists = [points_of(world, party) for world in runs for party in ROLES]
    seen = {bytes(point) for points in lists for point in points}
    assert len(seen) == 4 * len(GUEST)
    tags = [bytes(t) for world in runs for m in bodies(world, "bank", Tags) for t in m.tags]
    assert len(set(tags)) == 2 * len(GUEST)


def test_masked_ids_lie_on_the_curve() -> None:
    world = intersect(ids(range(200)), ids(range(200)), parameters(), record=True).check()
    for point in points_of(world, "bank"):
        u = int.from_bytes(bytes(point), "little")
        # A bare hash would put half of them on the twist: all 200 on the curve then is 2^-200.
        assert is_square(u**3 + MONTGOMERY_A * u**2 + u)


def test_a_host_that_is_not_entitled_receives_no_bitmap() -> None:
    chosen = parameters(receivers="guest")
    world = intersect(GUEST, HOST, chosen, record=True).check()
    transport = world.transports["shop"]
    assert isinstance(transport, RecordTransport)
    received = {entry.tag for entry in transport.entries if entry.direction == "received"}
    assert received == {"psi/hello", "psi/points", "psi/commitment", "psi/tags", "psi/verdict"}
    assert world.results["shop"].indices is None


def last_words(counts: Sequence[int]) -> set[bytes]:
    found = set()
    for count in counts:
        guest = ids([*range(count), *range(1000, 1070 - count)])
        world = intersect(guest, ids(range(70)), parameters(), record=True)
        transport = world.transports["bank"]
        assert isinstance(transport, RecordTransport)
        assert [e.tag for e in transport.entries if e.direction == "sent"][-1] == "psi/verdict"
        found.add([e.body for e in transport.entries if e.direction == "sent"][-1])
    return found


def test_a_refusal_is_one_constant_message() -> None:
    assert len(last_words([0, 1, 4])) == 1
