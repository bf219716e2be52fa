"""Workers that talk through their nodes' gateways: real TLS, real Unix sockets, broken links."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from atoll.channel.grpc import Gateway, GatewayTransport, new_token
from atoll.channel.identity import certificates, load_party
from atoll.core.errors import AtollError
from tests.channel.grpc import node_process, process
from tests.channel.grpc.nodes import Node, nodes, served, until, workers
from tests.channel.grpc.proxy import Proxy
from tests.channel.grpc.world import CALM, HASTY, LONG, SCOPE, Authority, refused, text


def noise(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def greet(ours: GatewayTransport, theirs: GatewayTransport) -> None:
    """Wait until both are connected."""
    ours.send("bank", SCOPE, "greeting", b"", LONG)
    theirs.receive("shop", SCOPE, "greeting", LONG)


def test_workers_talk_through_two_gateways() -> None:
    with nodes("shop", "bank") as (shop, bank), workers(shop, bank) as (ours, theirs):
        ours.send("bank", SCOPE, "a", b"question", LONG)
        assert text(theirs.receive("shop", SCOPE, "a", LONG)) == "question"
        answer = noise(1, 6_000_000)
        theirs.send("shop", SCOPE, "b", answer, LONG)
        assert ours.receive("bank", SCOPE, "b", LONG) == answer
        counts = shop.gateway.counters()
        assert counts["labels"]["job"]["bank"]["relays_open"] == 1
        assert counts["peers"]["bank"]["relays_open"] == 1
        assert counts["peers"]["bank"]["relay_bytes_received"] > len(answer)
        assert counts["labels"]["job"]["bank"]["bytes_received"] > len(answer)
        until(lambda: bank.gateway.counters()["peers"]["shop"]["relay_bytes_sent"] > len(answer))


def test_workers_part_and_say_goodbye() -> None:
    with nodes("shop", "bank") as (shop, bank), workers(shop, bank) as (ours, theirs):
        ours.send("bank", SCOPE, "a", b"last", LONG)
        theirs.send("shop", SCOPE, "a", b"word", LONG)
        with ThreadPoolExecutor(1) as pool:
            parting = pool.submit(ours.close)
            assert text(theirs.receive("shop", SCOPE, "a", LONG)) == "last"
            with refused("ATL-NET-003"):
                theirs.receive("shop", SCOPE, "a", LONG)
            theirs.close()
            parting.result(LONG)
        until(lambda: relays(shop) == relays(bank) == 0)


def relays(node: Node) -> int:
    """How many streams of workers a gateway has open."""
    peers = node.gateway.counters()["peers"].values()
    return sum(int(counts["relays_open"]) for counts in peers)


def test_a_failure_is_told_through_the_gateways() -> None:
    with nodes("shop", "bank") as (shop, bank), workers(shop, bank) as (ours, theirs):
        greet(ours, theirs)
        ours.abort("ATL-PSI-001", "psi/mask")
        with refused("ATL-NET-004"):
            theirs.receive("shop", SCOPE, "t", LONG)


@pytest.mark.parametrize("listening", ["shop", "bank"])
def test_one_address_is_enough(listening: str) -> None:
    with nodes("shop", "bank") as (shop, bank):
        for node, other in ((shop, bank), (bank, shop)):
            node.gateway.set_peer(other.party, node.identity.peers[other.party].ca, None)
            node.register("job", other.party)
        dialler, target = (bank, shop) if listening == "shop" else (shop, bank)
        dialler.knows(target)
        with (
            shop.worker("job", {"bank": dialler is shop}) as ours,
            bank.worker("job", {"shop": dialler is bank}) as theirs,
        ):
            greet(ours, theirs)
            ours.close()


def test_a_late_worker_is_waited_for() -> None:
    with nodes("shop", "bank") as (shop, bank):
        shop.register("job", "bank")
        ours = shop.worker("job", {"bank": True})
        with refused("ATL-NET-002"):
            ours.receive("bank", SCOPE, "t", 0.3)
        bank.register("job", "shop")
        with refused("ATL-NET-002"):
            ours.receive("bank", SCOPE, "t", 0.2)
        with bank.worker("job", {"shop": True}) as theirs:
            theirs.send("shop", SCOPE, "t", b"here", LONG)
            assert text(ours.receive("bank", SCOPE, "t", LONG)) == "here"
            ours.close()


def test_a_label_that_is_never_registered_is_unreachable() -> None:
    hasty = replace(HASTY, connect_seconds=3.0)
    with nodes("shop", "bank") as (shop, bank):
        shop.register("job", "bank")
        ours = shop.worker("job", {"bank": True}, hasty)
        with pytest.raises(AtollError) as caught:
            ours.receive("bank", SCOPE, "t", LONG)
        assert caught.value.code == "ATL-NET-010"
        assert "ATL-NET-040" in str(caught.value)
        assert bank.gateway.counters()["refused"]["ATL-NET-040"] >= 1
        ours.abort("ATL-INT-001", "test")


def test_a_label_is_for_the_peers_of_its_registration() -> None:
    hasty = replace(HASTY, connect_seconds=3.0)
    with nodes("shop", "bank", "mill") as (shop, bank, mill):
        shop.register("job", "bank")
        bank.register("job", "shop")
        mill.register("job", "bank")
        with shop.worker("job", {"bank": True}) as ours, bank.worker("job", {"shop": True}) as good:
            greet(ours, good)
            other = mill.worker("job", {"bank": True}, hasty)
            with pytest.raises(AtollError) as caught:
                other.receive("bank", SCOPE, "t", LONG)
            assert "ATL-NET-040" in str(caught.value)
            greet(ours, good)
            ours.close()


@pytest.mark.parametrize("wrong", ["token", "label", "peer"])
def test_the_own_gateway_wants_the_registration(wrong: str) -> None:
    hasty = replace(HASTY, connect_seconds=1.0)
    with nodes("shop", "bank", "mill") as (shop, bank, _):
        shop.register("job", "bank")
        if wrong == "token":
            shop.tokens["job"] = new_token()
        label = "other" if wrong == "label" else "job"
        shop.tokens[label] = shop.tokens["job"]
        peer = "mill" if wrong == "peer" else "bank"
        ours = shop.worker(label, {peer: True}, hasty)
        with pytest.raises(AtollError) as caught:
            ours.receive(peer, SCOPE, "t", LONG)
        code = "ATL-NET-006" if wrong == "peer" else "ATL-NET-041"
        assert code in str(caught.value)
        assert shop.gateway.counters()["refused"][code] >= 1
        ours.abort("ATL-INT-001", "test")
        assert bank.gateway.counters()["refused"] == {}


@contextmanager
def proxied() -> Iterator[tuple[Node, Node, Proxy]]:
    """Two nodes; shop's way to bank leads through a proxy, and bank cannot dial."""
    with nodes("shop", "bank") as (shop, bank):
        proxy = Proxy(bank.address)
        try:
            shop.knows(bank, proxy.address)
            bank.gateway.set_peer("shop", bank.identity.peers["shop"].ca, None)
            yield shop, bank, proxy
        finally:
            proxy.close()


@pytest.mark.parametrize("after", [1, 100_000, 2_000_000])
def test_a_cut_relay_is_made_anew(after: int) -> None:
    bodies = [noise(seed, 1_200_000) for seed in range(4)]
    with proxied() as (shop, bank, proxy), workers(shop, bank) as (ours, theirs):
        greet(ours, theirs)
        proxy.cut_after(after)
        for body in bodies:
            ours.send("bank", SCOPE, "t", body, LONG)
        for body in bodies:
            assert theirs.receive("shop", SCOPE, "t", LONG) == body
        with refused("ATL-NET-002"):
            theirs.receive("shop", SCOPE, "t", 0.05)
        assert proxy.connections == 2
        until(lambda: relays(shop) == relays(bank) == 1)


def test_a_damaged_relay_is_made_anew() -> None:
    with proxied() as (shop, bank, proxy), workers(shop, bank) as (ours, theirs):
        greet(ours, theirs)
        proxy.damage_after(500_000)
        body = noise(1, 3_000_000)
        ours.send("bank", SCOPE, "t", body, LONG)
        assert theirs.receive("shop", SCOPE, "t", LONG) == body
        assert proxy.connections == 2


def test_a_silent_relay_loses_the_peer_and_is_ended() -> None:
    with proxied() as (shop, bank, proxy), workers(shop, bank, settings=HASTY) as (ours, theirs):
        greet(ours, theirs)
        proxy.stall()
        for worker, peer in ((ours, "bank"), (theirs, "shop")):
            with refused("ATL-NET-001"):
                worker.receive(peer, SCOPE, "t", LONG)
        until(lambda: relays(shop) == relays(bank) == 0)


def test_a_gateway_that_is_started_again_goes_on() -> None:
    rounds = 6
    with (
        nodes("shop", "bank") as (shop, bank),
        workers(shop, bank) as (ours, theirs),
        ThreadPoolExecutor(1) as pool,
    ):
        greet(ours, theirs)

        def echo() -> None:
            for _ in range(rounds):
                theirs.send("shop", SCOPE, "u", theirs.receive("shop", SCOPE, "t", LONG), LONG)

        done = pool.submit(echo)
        for seed in range(rounds):
            body = noise(seed, 500_000)
            ours.send("bank", SCOPE, "t", body, LONG)
            if seed in (1, 3):
                node, other = (bank, shop) if seed == 1 else (shop, bank)
                node.gateway.close()
                node.gateway = node.start()
                node.knows(other)
                node.register("job", other.party)
            assert ours.receive("bank", SCOPE, "u", LONG) == body
        done.result()


@contextmanager
def bank_process(folder: Path, listen: str, token: bytes) -> Iterator[str]:
    """Run bank's gateway as a process; yield its address; kill it."""
    command = [sys.executable, str(node_process.__file__), str(folder), listen, "job", token.hex()]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdout is not None
        try:
            yield running.stdout.readline().strip()
        finally:
            running.kill()


def test_a_killed_gateway_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    process.prepare(tmp_path)
    shop = load_party(tmp_path / "shop")
    token = new_token()
    with ExitStack() as stack:
        first = ExitStack()
        address = first.enter_context(bank_process(tmp_path, "127.0.0.1:0", token))
        gateway = stack.enter_context(Gateway(shop, tmp_path / "shop.gate"))
        gateway.set_peer("bank", shop.peers["bank"].ca, address)
        gateway.register("job", token, tmp_path / "shop.work", ["bank"])
        ends = [
            GatewayTransport(
                party,
                {peer: peer == "bank"},
                gateway=tmp_path / f"{party}.gate",
                socket=tmp_path / f"{party}.work",
                token=token,
                label="job",
                settings=CALM,
            )
            for party, peer in (("shop", "bank"), ("bank", "shop"))
        ]
        ours, theirs = ends
        for end in ends:
            stack.callback(end.abort, "ATL-INT-001", "test")
        greet(ours, theirs)
        bodies = [noise(seed, 1_000_000) for seed in range(6)]
        for body in bodies[:3]:
            ours.send("bank", SCOPE, "t", body, LONG)
        first.close()
        for body in bodies[3:]:
            ours.send("bank", SCOPE, "t", body, LONG)
        stack.enter_context(bank_process(tmp_path, address, token))
        for body in bodies:
            assert theirs.receive("shop", SCOPE, "t", LONG) == body
        # While the gateway lives: a failure wants to be heard.
        ours.abort("ATL-INT-001", "test")


def test_a_removed_registration_ends_its_streams_alone() -> None:
    with (
        nodes("shop", "bank") as (shop, bank),
        workers(shop, bank, "one", HASTY) as (first, other),
        workers(shop, bank, "two") as (kept, too),
    ):
        greet(first, other)
        greet(kept, too)
        moved = bank.gateway.unregister("one")
        assert moved["shop"]["bytes_received"] > 0
        with refused("ATL-NET-001"):
            first.receive("bank", SCOPE, "t", LONG)
        greet(kept, too)
        assert kept.counters()["bank"]["connections"] == 1
        until(lambda: relays(shop) == relays(bank) == 1)
        assert bank.gateway.unregister("one") == {}


def test_withdrawn_trust_ends_streams_at_once() -> None:
    with nodes("shop", "bank", "mill") as (shop, bank, mill):
        mill.register("job", "bank")
        with workers(shop, bank, settings=HASTY) as (ours, theirs):
            greet(ours, theirs)
            bank.gateway.remove_peer("shop")
            assert relays(bank) == 0
            with pytest.raises(AtollError) as caught:
                ours.receive("bank", SCOPE, "t", LONG)
            assert caught.value.code == "ATL-NET-001"
            assert "ATL-NET-016" in str(caught.value)
            until(lambda: bank.gateway.counters()["refused"].get("ATL-NET-012"))


def test_another_authority_ends_the_streams_of_the_former() -> None:
    with nodes("shop", "bank") as (shop, bank), workers(shop, bank, settings=HASTY) as (ours, them):
        greet(ours, them)
        bank.gateway.set_peer("shop", Authority("shop").pem, shop.address)
        with refused("ATL-NET-001"):
            ours.receive("bank", SCOPE, "t", LONG)


def test_another_address_leaves_streams_alone() -> None:
    with nodes("shop", "bank") as (shop, bank), workers(shop, bank) as (ours, theirs):
        greet(ours, theirs)
        shop.gateway.set_peer("bank", shop.identity.peers["bank"].ca, "127.0.0.1:1")
        greet(ours, theirs)
        assert ours.counters()["bank"]["connections"] == 1


def test_a_certificate_is_renewed_during_a_job() -> None:
    shop, bank = Authority("shop"), Authority("bank")
    old = shop.identity("shop", [bank], ends=timedelta(seconds=4))
    new = shop.identity("shop", [bank])
    with (
        nodes(old, bank.identity("bank", [shop])) as (ours, theirs),
        workers(ours, theirs) as (left, right),
    ):
        greet(left, right)
        ours.gateway.renew(new.certificate, new.key_pem())
        greet(left, right)
        # The connection with the old key ended at once; the next one has the new.
        until(lambda: left.counters()["bank"]["connections"] == 2)
        greet(left, right)


def test_a_further_certificate_for_the_same_key_leaves_streams_alone() -> None:
    shop, bank = Authority("shop"), Authority("bank")
    old = shop.identity("shop", [bank], begins=timedelta(hours=-2))
    further, key = shop.issue(key=old.key)
    with (
        nodes(old, bank.identity("bank", [shop])) as (ours, theirs),
        workers(ours, theirs) as (left, right),
    ):
        greet(left, right)
        ours.gateway.renew(further, certificates.key_pem(key))
        with served(theirs.gateway, lambda call: b"yes"):
            assert text(ours.gateway.call("bank", "k", b"", LONG)) == "yes"
        greet(left, right)
        assert left.counters()["bank"]["connections"] == 1


def test_what_cannot_be_used_is_not_taken_for_renewal() -> None:
    shop, bank, mill = Authority("shop"), Authority("bank"), Authority("mill")
    with nodes(shop.identity("shop", [bank]), bank.identity("bank", [shop])) as (ours, theirs):
        other = mill.identity("mill", [])
        with refused("ATL-NET-026"):
            ours.gateway.renew(other.certificate, other.key_pem())
        with refused("ATL-NET-026"):
            ours.gateway.renew(ours.identity.certificate, other.key_pem())
        with refused("ATL-NET-026"):
            ours.gateway.renew(b"", other.key_pem())
        with workers(ours, theirs) as (left, right):
            greet(left, right)


def test_many_labels_at_once() -> None:
    labels = [f"job-{number}" for number in range(40)]
    with nodes("shop", "bank") as (shop, bank), ExitStack() as stack:
        pairs = [stack.enter_context(workers(shop, bank, label)) for label in labels]
        for number, (ours, _) in enumerate(pairs):
            ours.send("bank", SCOPE, "t", noise(number, 50_000), LONG)
        for number, (_, theirs) in enumerate(pairs):
            assert theirs.receive("shop", SCOPE, "t", LONG) == noise(number, 50_000)
        assert shop.gateway.counters()["peers"]["bank"]["relays_total"] >= len(labels)
        until(lambda: relays(shop) == relays(bank) == len(labels))


def test_labels_tokens_and_sockets_have_their_limits(tmp_path: Path) -> None:
    with nodes("shop", "bank") as (shop, _):
        shop.register("job", "bank")
        with refused("ATL-NET-027"):
            shop.register("job", "bank")
        for label, token in (("", new_token()), ("x" * 129, new_token()), ("y", b"short")):
            with refused("ATL-NET-027"):
                shop.gateway.register(label, token, tmp_path / "w", ["bank"])
        with refused("ATL-NET-024"):
            Gateway(shop.identity, shop.socket)
        with refused("ATL-NET-024"):
            Gateway(shop.identity, tmp_path / ("s" * 120))
        (tmp_path / "file").write_text("not a socket")
        with refused("ATL-NET-024"):
            Gateway(shop.identity, tmp_path / "file")
        with refused("ATL-NET-024"):
            Gateway(shop.identity, tmp_path / "other", listen=shop.address)
        assert not (tmp_path / "other").exists()
        assert shop.socket.stat().st_mode & 0o777 == 0o600
