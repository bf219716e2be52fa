"""Two parties over real TLS on loopback: what arrives, in which order, and how they part."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.channel.api import Channel
from atoll.channel.grpc import GrpcTransport, WireSettings
from atoll.core.errors import AtollError, CancelledError, NetworkError, PeerError, UserError
from atoll.core.limits import MESSAGE_BYTES
from atoll.core.message import Message, blob
from atoll.core.names import Scope
from tests.channel.grpc.nodes import interrupted
from tests.channel.grpc.world import CALM, LONG, SCOPE, identities, pair, refused, text


def test_messages_go_both_ways() -> None:
    with pair() as (shop, bank):
        shop.send("bank", SCOPE, "a", b"question", LONG)
        assert text(bank.receive("shop", SCOPE, "a", LONG)) == "question"
        bank.send("shop", SCOPE, "b", memoryview(b"answer"), LONG)
        assert text(shop.receive("bank", SCOPE, "b", LONG)) == "answer"


@dataclass(frozen=True)
class Note(Message, kind="test.grpc.note"):
    body: bytes = blob(1 << 20, low=0, opaque="a test")


def test_typed_channels_run_on_it() -> None:
    with pair() as (shop, bank):
        Channel(shop, SCOPE).send("bank", "n", Note(b"x" * 1000))
        assert Channel(bank, SCOPE).receive("shop", "n", Note).body == b"x" * 1000


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, MESSAGE_BYTES])
def test_any_size_up_to_the_limit_arrives_whole(size: int) -> None:
    body = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).data
    with pair() as (shop, bank):
        shop.send("bank", SCOPE, "t", body, LONG)
        received = bank.receive("shop", SCOPE, "t", LONG)
        assert len(received) == size
        assert memoryview(received) == body
        frames = max(1, -(-size // (1 << 20)))
        assert bank.counters()["shop"]["frames_received"] == frames


def test_larger_messages_are_refused() -> None:
    with pair() as (shop, _), pytest.raises(UserError) as caught:
        shop.send("bank", SCOPE, "t", bytes(MESSAGE_BYTES + 1), LONG)
    assert caught.value.code == "ATL-NET-005"


def test_a_message_larger_than_the_window_is_refused() -> None:
    small = WireSettings(window_bytes=1 << 16)
    with pair(others=small) as (shop, _), refused("ATL-NET-005"):
        shop.send("bank", SCOPE, "t", bytes(1 << 16), LONG)


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=2000)), max_size=30))
def test_order_holds_within_a_tag(messages: list[tuple[str, bytes]]) -> None:
    with SHARED() as (shop, bank):
        for tag, body in messages:
            shop.send("bank", SCOPE, tag, body, LONG)
        for tag in "ba":
            sent = [body for at, body in messages if at == tag]
            got = [bytes(bank.receive("shop", SCOPE, tag, LONG)) for _ in sent]
            assert got == sent


class _Shared:
    """One pair for all examples; hypothesis runs them one after the other."""

    def __call__(self) -> _Shared:
        return self

    def __enter__(self) -> tuple[GrpcTransport, GrpcTransport]:
        self._pair = pair()
        return self._pair.__enter__()

    def __exit__(self, *error: object) -> None:
        self._pair.__exit__(None, None, None)


SHARED = _Shared()


def test_scopes_and_tags_do_not_mix() -> None:
    places = [
        (Scope("job", "task", 0), "t"),
        (Scope("job", "task", 1), "t"),
        (Scope("job", "other", 0), "t"),
        (Scope("other", "task", 0), "t"),
        (Scope("job", "task", 0), "lane/t"),
    ]
    with pair() as (shop, bank):
        for number, (scope, tag) in enumerate(places):
            shop.send("bank", scope, tag, bytes([number]), LONG)
        for number, (scope, tag) in reversed(list(enumerate(places))):
            assert bytes(bank.receive("shop", scope, tag, LONG)) == bytes([number])


def test_lanes_send_at_the_same_time() -> None:
    lanes, rounds = 6, 5
    with pair() as (shop, bank), ThreadPoolExecutor(2 * lanes) as pool:

        def send(lane: int) -> None:
            for number in range(rounds):
                shop.send("bank", SCOPE, f"{lane}", bytes([lane, number]) * 800_000, LONG)

        def receive(lane: int) -> bool:
            return all(
                bytes(bank.receive("shop", SCOPE, f"{lane}", LONG))
                == bytes([lane, number]) * 800_000
                for number in range(rounds)
            )

        sent = [pool.submit(send, lane) for lane in range(lanes)]
        received = [pool.submit(receive, lane) for lane in range(lanes)]
        for future in sent:
            future.result()
        assert all(future.result() for future in received)


def test_receive_any_gives_the_first_that_came() -> None:
    who = identities("hub", "one", "two")
    with GrpcTransport(who["hub"], ["one", "two"], listen="127.0.0.1:0", settings=CALM) as hub:
        assert hub.address is not None
        dial = {"hub": hub.address}
        with (
            GrpcTransport(who["one"], ["hub"], addresses=dial, settings=CALM) as one,
            GrpcTransport(who["two"], ["hub"], addresses=dial, settings=CALM) as two,
        ):
            two.send("hub", SCOPE, "t", b"2", LONG)
            assert bytes(hub.receive_any(["one", "two"], SCOPE, "t", LONG)[1]) == b"2"
            one.send("hub", SCOPE, "t", b"1", LONG)
            sender, body = hub.receive_any(["one", "two"], SCOPE, "t", LONG)
            assert (sender, bytes(body)) == ("one", b"1")


@pytest.mark.parametrize("order", ["listener last", "both listen"])
def test_parties_start_in_any_order(order: str) -> None:
    who = identities("shop", "bank")
    ports = {}
    for party in ("shop", "bank"):
        probe = GrpcTransport(
            who[party], list(who.keys() - {party}), listen="127.0.0.1:0", settings=CALM
        )
        assert probe.address is not None
        ports[party] = probe.address
        probe.close()
    listen = ports["shop"] if order == "both listen" else None
    shop = GrpcTransport(
        who["shop"], ["bank"], listen=listen, addresses={"bank": ports["bank"]}, settings=CALM
    )
    with refused("ATL-NET-002"):
        shop.receive("bank", SCOPE, "t", 0.2)
    back = {"shop": ports["shop"]} if listen else {}
    with GrpcTransport(
        who["bank"], ["shop"], listen=ports["bank"], addresses=back, settings=CALM
    ) as bank:
        bank.send("shop", SCOPE, "t", b"x", LONG)
        assert bytes(shop.receive("bank", SCOPE, "t", LONG)) == b"x"
        shop.close()


def test_a_deadline_has_a_code_and_names_the_peer() -> None:
    with pair() as (shop, _), pytest.raises(NetworkError) as caught:
        shop.receive("bank", SCOPE, "t", 0.05)
    assert (caught.value.code, caught.value.party) == ("ATL-NET-002", "bank")


def test_unknown_peers_and_long_tags_are_refused() -> None:
    with pair() as (shop, _):
        with refused("ATL-NET-006"):
            shop.send("mill", SCOPE, "t", b"", LONG)
        with refused("ATL-NET-006"):
            shop.receive("mill", SCOPE, "t", LONG)
        with refused("ATL-NET-027"):
            shop.send("bank", SCOPE, "t" * 257, b"", LONG)
        with refused("ATL-NET-027"):
            shop.receive_any([], SCOPE, "t", LONG)


def test_who_has_left_is_not_lost() -> None:
    with pair() as (shop, bank):
        shop.send("bank", SCOPE, "t", b"last", LONG)
        shop.close()
        assert text(bank.receive("shop", SCOPE, "t", LONG)) == "last"
        for _ in range(2):
            with pytest.raises(NetworkError) as caught:
                bank.receive("shop", SCOPE, "t", LONG)
            assert (caught.value.code, caught.value.party) == ("ATL-NET-003", "shop")
        with refused("ATL-NET-003"):
            bank.send("shop", SCOPE, "t", b"x", LONG)


def test_a_waiting_receive_ends_when_the_peer_leaves() -> None:
    with pair() as (shop, bank), ThreadPoolExecutor(1) as pool:
        shop.send("bank", SCOPE, "other", b"", LONG)
        waiting = pool.submit(bank.receive, "shop", SCOPE, "t", LONG)
        shop.close()
        with refused("ATL-NET-003"):
            waiting.result(LONG)


def test_both_may_part_at_once_and_twice() -> None:
    with pair() as (shop, bank), ThreadPoolExecutor(2) as pool:
        shop.send("bank", SCOPE, "t", b"unread", LONG)
        for future in [pool.submit(shop.close), pool.submit(bank.close)]:
            future.result(LONG)
        shop.close()
        with pytest.raises(CancelledError) as caught:
            shop.receive("bank", SCOPE, "t", LONG)
        assert caught.value.code == "ATL-NET-022"


def test_a_failure_is_told_as_code_and_phase_only() -> None:
    with pair() as (shop, bank):
        shop.send("bank", SCOPE, "hello", b"", LONG)
        bank.receive("shop", SCOPE, "hello", LONG)
        shop.abort("ATL-PSI-001", "psi/mask\n\u2603")
        with pytest.raises(PeerError) as caught:
            bank.receive("shop", SCOPE, "t", LONG)
    error = caught.value
    assert (error.code, error.party, error.phase) == ("ATL-NET-004", "shop", "psi/mask??")
    assert "ATL-PSI-001" in str(error)


def test_leaving_a_block_by_an_error_aborts() -> None:
    with pair() as (shop, bank):
        shop.send("bank", SCOPE, "hello", b"", LONG)
        with pytest.raises(AtollError), shop:
            raise UserError("ATL-TAB-001", "a secret reason", phase="read")
        with pytest.raises(PeerError) as caught:
            bank.receive("shop", SCOPE, "t", LONG)
    assert "secret" not in str(caught.value)
    assert caught.value.phase == "read"


def test_cancel_ends_waiting_calls() -> None:
    with pair() as (shop, _), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shop.receive, "bank", SCOPE, "t", LONG)
        shop.cancel()
        with refused("ATL-NET-023"):
            waiting.result(LONG)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_a_waiting_call() -> None:
    with pair() as (shop, _), pytest.raises(KeyboardInterrupt):
        interrupted(shop.receive, "bank", SCOPE, "t", LONG)


def test_a_taken_port_is_refused_with_a_code() -> None:
    who = identities("shop", "bank")
    with GrpcTransport(who["bank"], ["shop"], listen="127.0.0.1:0", settings=CALM) as bank:
        with refused("ATL-NET-024"):
            GrpcTransport(who["shop"], ["bank"], listen=bank.address, settings=CALM)
        with refused("ATL-NET-026"):
            GrpcTransport(who["shop"], ["bank"], settings=WireSettings(window_bytes=0))


def test_counters_count() -> None:
    with pair() as (shop, bank):
        shop.send("bank", SCOPE, "t", b"x" * 5000, LONG)
        assert bank.counters()["shop"]["bytes_waiting"] in (0, 5000)
        bank.receive("shop", SCOPE, "t", LONG)
        sent, got = shop.counters()["bank"], bank.counters()["shop"]
        assert (sent["messages_sent"], sent["bytes_sent"]) == (1, 5000)
        assert (got["messages_received"], got["bytes_received"]) == (1, 5000)
        assert got["bytes_waiting"] == 0
        assert got["stream_bytes_received"] > 5000
