"""Who may say what to a node: every method of the protocol, every kind of call, every caller."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atoll.channel.grpc.gateway import Gateway, enrol
from atoll.channel.identity import export_ca, init_party, load_party, trust
from atoll.core import codec
from atoll.core.errors import AtollError
from atoll.flow.control import SyncMessage, Update, encode_sync, parse_sync
from atoll.flow.control.facts import Stop, encode_section
from tests.e2e.nodes import TestNode, fill, nodes, small_job, until

PROTO = Path(__file__).parents[2] / "native" / "wire" / "proto" / "wire.proto"
# Each method of the .proto, and where the callers that it refuses are tried.
METHODS = {
    "Wire.Exchange": "tests/channel/grpc/test_hostile.py, test_gateway_hostile.py (by label)",
    "Node.Call": "below, by kind",
}
KINDS = {"sync", "ping", "declare", "enrol"}
LIMIT = 10.0


def test_every_method_has_its_row() -> None:
    found, service = set[str](), ""
    for line in PROTO.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"service (\w+)", line):
            service = match[1]
        elif match := re.match(r"\s+rpc (\w+)", line):
            found.add(f"{service}.{match[1]}")
    assert found == METHODS.keys()


def test_every_kind_of_call_is_tried_here() -> None:
    node = Path(__file__).parents[2] / "src" / "atoll" / "flow" / "node"
    answered = re.search(r"answers = \{(.*?)\}", (node / "node.py").read_text(), re.DOTALL)
    assert answered is not None
    kinds = set(re.findall(r'"(\w+)":', answered[1])) | {"sync"}
    assert kinds == KINDS


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, TestNode]]:
    root = tmp_path_factory.mktemp("calls")
    with nodes(root, "bank", "shop") as made:
        fill(made, root)
        with made["bank"].client() as bank:
            # A partner of the bank that has no part in what bank and shop do.
            init_party(root / "third", "third")
            authority = export_ca(root / "third").decode()
            bank.parties.add("third", authority, None)
        yield made


@contextmanager
def calling(two: dict[str, TestNode], party: str, *, known: bool = True) -> Iterator[Gateway]:
    """Give a gateway that speaks as a party: a real partner, or one with keys of its own."""
    bank = two["bank"]
    with tempfile.TemporaryDirectory() as name:
        folder = bank.folder.root.parent / party if known else Path(name) / party
        if not known:
            init_party(folder, party)
        trust(folder, "bank", export_ca(bank.folder.root), f"127.0.0.1:{bank.port}", replace=True)
        with Gateway(load_party(folder), Path(name) / "socket") as gateway:
            yield gateway


def refused(*codes: str) -> pytest.RaisesExc[AtollError]:
    def check(error: AtollError) -> bool:
        return error.code in codes or getattr(error, "peer_code", None) in codes

    return pytest.RaisesExc(AtollError, check=check)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("name", ["stranger", "shop"])
def test_strangers_and_those_with_a_partners_name_are_not_heard(
    two: dict[str, TestNode], kind: str, name: str
) -> None:
    with calling(two, name, known=False) as gateway, pytest.raises(AtollError) as caught:
        gateway.call("bank", kind, b"", LIMIT)
    assert caught.value.code.startswith("ATL-NET-01")


def test_a_partner_is_pinged_and_unknown_kinds_are_refused(two: dict[str, TestNode]) -> None:
    with calling(two, "third") as gateway:
        assert b"version" in bytes(gateway.call("bank", "ping", b"", LIMIT))
        with refused("ATL-NOD-022"):
            gateway.call("bank", "shutdown", b"", LIMIT)
        # Enrolment is for those without a certificate; a partner's call of that name is none.
        with pytest.raises(AtollError):
            gateway.call("bank", "enrol", b"", LIMIT)


def test_a_third_partner_neither_reads_nor_stops_what_it_is_no_part_of(
    two: dict[str, TestNode],
) -> None:
    with two["bank"].client() as bank, calling(two, "third") as gateway:
        job = bank.jobs.submit(small_job("bank", "shop", name="private"))
        stop = encode_section(Stop("cancel", "ATL-JOB-001", "third"))
        for base in (0, 5):
            update = Update(job.id, base, base + 1, {"stop": stop})
            body = encode_sync(SyncMessage((update,), {job.id: 0}))
            answer = parse_sync(bytes(gateway.call("bank", "sync", body, LIMIT)))
            assert answer.updates == ()
        assert job.wait(60).state == "success"
        again = parse_sync(bytes(gateway.call("bank", "sync", encode_sync(SyncMessage()), LIMIT)))
        assert again.updates == ()


def test_garbage_is_refused_and_the_node_goes_on(two: dict[str, TestNode]) -> None:
    with calling(two, "third") as gateway:
        for body in (b"", b"\xc1", b"x" * 100_000, codec.encode({"type": "atoll/sync/v1"})):
            with pytest.raises(AtollError):
                gateway.call("bank", "sync", body, LIMIT)
        assert gateway.call("bank", "ping", b"", LIMIT)


def test_tables_are_told_to_those_alone_who_would_take_part(two: dict[str, TestNode]) -> None:
    foreign = codec.encode(small_job("bank", "shop").canonical())
    with calling(two, "third") as gateway:
        with refused("ATL-JOB-009"):
            gateway.call("bank", "declare", foreign, LIMIT)
        ours = codec.encode(small_job("bank", "third").canonical())
        assert b"people" in bytes(gateway.call("bank", "declare", ours, LIMIT))
        bank = two["bank"]
        bank.stop()
        bank.start(**{"policy.default": "deny"}).close()
        with refused("ATL-POL-001"):
            until(lambda: gateway.call("bank", "declare", ours, LIMIT))


def test_nobody_enrols_without_an_open_invitation(two: dict[str, TestNode]) -> None:
    bank = two["bank"]
    with pytest.raises(AtollError):
        enrol(f"127.0.0.1:{bank.port}", "bank", b"\0" * 32, b"", LIMIT)
