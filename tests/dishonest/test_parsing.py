"""Parties that send bytes which cost a reader far more than their sender.

Each is refused before anything is built from its bytes, in memory of at most four times what the
entrance takes, and the honest party goes on. What an entrance takes: docs/security/entrances.md.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from atoll.channel.party import Party
from atoll.channel.world import run
from atoll.core import codec
from atoll.core.errors import AtollError, PeerError
from atoll.core.names import Role
from atoll.flow.control.sync import SYNC_BYTES
from atoll.flow.node.jobs.declaring import DECLARATION_BYTES, decode_declaration
from atoll.jobs.approval import Approval
from atoll.jobs.definition import JOB_FILE_BYTES
from atoll.operators import psi
from atoll.sim.nodes import LocalNode, nodes
from tests.channel.grpc.hostile import frame, hello
from tests.channel.grpc.test_hostile import bank_and_hostile
from tests.channel.grpc.world import CALM, LONG, SCOPE

MIB = 1 << 20
# Of the processor: reading them once took fifteen.
SECONDS = 5.0


def lists(size: int) -> bytes:
    """``size`` bytes of empty lists, in canonical form."""
    return b"\xdd" + (size - 5).to_bytes(4, "big") + b"\x90" * (size - 5)


def keys(size: int) -> bytes:
    """A map of different keys without a value, in canonical form."""
    count = (size - 5) // 8
    numbered = (b"\xa6" + b"%06x" % number + b"\xc0" for number in range(count))
    return b"\xdf" + count.to_bytes(4, "big") + b"".join(numbered)


def wide(size: int) -> bytes:
    """A text whose last character makes each of the others four bytes wide."""
    body = b"a" * (size - 9) + "😀".encode()
    return b"\xdb" + len(body).to_bytes(4, "big") + body


SHAPES: dict[str, Callable[[int], bytes]] = {"lists": lists, "keys": keys, "wide": wide}


@contextmanager
def bounded(limit: int, others: int = 0) -> Iterator[None]:
    """Hold what happens to four times ``limit`` bytes of memory, beside ``others``, and seconds."""
    tracemalloc.start(1)
    try:
        started = time.process_time()
        yield
        took, peak = time.process_time() - started, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 4 * limit + others + MIB, f"{peak / limit:.1f} times the limit"
    assert took < SECONDS


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LocalNode]]:
    root: Path = tmp_path_factory.mktemp("nodes")
    with nodes(root, ("bank", "shop")) as made:
        yield made


def asks(liar: LocalNode, kind: str, body: bytes) -> str:
    """Have a partner's node call the bank's, and return the code that it answers with."""
    with pytest.raises(AtollError) as caught:
        liar.gateway.call("bank", kind, body, LONG)
    return str(getattr(caught.value, "peer_code", ""))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_partner_asks_for_a_declaration_with_a_job_that_is_all_structure(
    two: dict[str, LocalNode], shape: str
) -> None:
    """``declare`` needs no approval. Rule: sizes before allocation (PROTOCOLS 1), ATL-COD-001."""
    body = SHAPES[shape](JOB_FILE_BYTES)
    with bounded(JOB_FILE_BYTES, 2 * len(body)):
        assert asks(two["shop"], "declare", body) == "ATL-COD-001"
    two["shop"].parties.ping("bank")


@pytest.mark.parametrize("shape", ["lists", "keys"])
def test_a_partner_declares_eight_megabytes_of_structure(
    two: dict[str, LocalNode], shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lie is in the answer to an honest question. Rule: as above, ATL-COD-001."""
    body = SHAPES[shape](DECLARATION_BYTES)
    monkeypatch.setitem(two["shop"].syncing._answers, "declare", lambda call: body)
    with bounded(DECLARATION_BYTES, 2 * len(body)), pytest.raises(AtollError) as caught:
        decode_answer(two["bank"])
    assert caught.value.code == "ATL-COD-001"
    two["bank"].parties.ping("shop")


def decode_answer(node: LocalNode) -> None:
    """Ask the shop as a plan does, and read its answer."""
    decode_declaration(node.gateway.call("shop", "declare", b"\x80", LONG), "shop")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_partner_syncs_structure(two: dict[str, LocalNode], shape: str) -> None:
    """Facts of jobs come by themselves. Rule: as above, by the document's code, ATL-FLW-001."""
    body = SHAPES[shape](SYNC_BYTES)
    with bounded(SYNC_BYTES, 2 * len(body)):
        assert asks(two["shop"], "sync", body) == "ATL-FLW-001"
    two["shop"].parties.ping("bank")


IDS = pa.array([b"%d" % number for number in range(40)], pa.binary())


@pytest.mark.parametrize("shape", SHAPES)
def test_an_operators_message_is_all_structure(shape: str) -> None:
    """A party of an intersection says hello with 8 MiB of it. Rule: as above, ATL-COD-001."""
    body = b"\x93\xaepsi.ecdh.hello\x01" + SHAPES[shape](8 * MIB)

    def liar(party: Party) -> None:
        channel = party.channel
        channel.transport.send("bank", channel.scope, channel.lane + "psi/hello", body, LONG)

    def honest(party: Party) -> Any:
        return psi.run(party, IDS, psi.PsiParameters(minimum_intersection=5))

    roles = {"bank": Role.GUEST, "shop": Role.HOST}
    with bounded(len(body)):
        world = run(roles, {"bank": honest, "shop": liar})
    error = world.errors["bank"]
    assert isinstance(error, PeerError)
    assert error.code == "ATL-COD-001"


def test_a_message_is_nested_ever_deeper() -> None:
    """Each level costs a byte. Rule: 32 levels, ATL-COD-001, counted before anything is built."""
    for deep in (33, 1000, MIB):
        with bounded(deep, MIB), pytest.raises(PeerError, match="nested too deeply"):
            codec.decode(b"\x91" * deep + b"\x90")


def test_a_header_promises_what_does_not_follow() -> None:
    """Six bytes that stand for 2³² entries. Rule: no header is believed, ATL-COD-001."""
    for first in (0xDD, 0xDF, 0xC6, 0xDB):
        with bounded(6, MIB), pytest.raises(PeerError, match="cut short"):
            codec.decode(bytes([first]) + b"\xff\xff\xff\xff\x01")


def test_an_approval_has_a_twin_of_other_bytes() -> None:
    """The same value in other bytes would be signed with another digest. Rule: one form alone."""
    approval = Approval("j", "p", bytes(32), 1, 1, "bank", "guest", {"bank": "0", "shop": "1"})
    document = approval.encode()
    assert Approval.decode(document) == approval
    copies = [
        document.replace(b"\xa7expires\x01", b"\xa7expires\xcc\x01"),
        document.replace(b"\xa3job\xa1j", b"\xa3job\xd9\x01j"),
        document.replace(b"\xa4bank\xa10\xa4shop\xa11", b"\xa4shop\xa11\xa4bank\xa10"),
        document + b"\xc0",
    ]
    for copy in copies:
        assert copy != document
        with pytest.raises(PeerError) as caught:
            Approval.decode(copy)
        assert caught.value.code == "ATL-PLN-002"


def test_a_message_comes_in_pieces_of_a_byte() -> None:
    """A piece is an allocation and an entry. Rule: small pieces are joined as they come.

    What the other side holds until the message is whole is asserted beside ``Body`` in the native
    wire; here the message arrives, and the next one too.
    """
    count = 4000
    pieces = [frame(at, body=b"a", total=count if at == count else 0) for at in range(1, count + 1)]
    with bank_and_hostile(settings=CALM) as (bank, shop):
        shop.write(hello(), *pieces, frame(count + 1, 2, body=b"next"))
        assert bytes(bank.receive("shop", SCOPE, "t", LONG)) == b"a" * count
        assert bytes(bank.receive("shop", SCOPE, "t", LONG)) == b"next"
