"""Workers that talk through their nodes' gateways, over real TLS and Unix sockets."""

from __future__ import annotations

from tests.channel.grpc.nodes import nodes, served, workers
from tests.channel.grpc.world import LONG, SCOPE, text


def test_workers_talk_through_two_gateways() -> None:
    with nodes("shop", "bank") as (shop, bank), workers(shop, bank) as (ours, theirs):
        ours.send("bank", SCOPE, "a", b"question", LONG)
        assert text(theirs.receive("shop", SCOPE, "a", LONG)) == "question"
        theirs.send("shop", SCOPE, "b", b"answer" * 1_000_000, LONG)
        assert text(ours.receive("bank", SCOPE, "b", LONG)) == "answer" * 1_000_000
        counts = shop.gateway.counters()
        assert counts["labels"]["job"]["bank"]["relays_open"] == 1
        assert counts["peers"]["bank"]["relay_bytes_received"] > 6_000_000


def test_a_call_is_answered() -> None:
    with (
        nodes("shop", "bank") as (shop, bank),
        served(bank.gateway, lambda call: f"{call.party} {call.kind} ".encode() + call.body),
    ):
        assert text(shop.gateway.call("bank", "echo", b"hello", LONG)) == "shop echo hello"
