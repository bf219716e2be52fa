"""Calls between nodes: answers, refusals, limits, and connections that come and go."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

from atoll.channel.api import Buffer
from atoll.channel.grpc import Call, CallRefusedError
from atoll.core.errors import AtollError, CancelledError, NetworkError, UserError
from tests.channel.grpc.nodes import BRISK, interrupted, nodes, served, until
from tests.channel.grpc.proxy import Proxy
from tests.channel.grpc.world import LONG, Authority, refused, text

MOST = 16 << 20


def echo(call: Call) -> bytes:
    return bytes(call.body)


def refuse(call: Call) -> bytes:
    raise CallRefusedError("ATL-NET-043", "", peer_code="ATL-JOB-001", party=call.party)


def refused_with(code: str) -> pytest.RaisesExc[CallRefusedError]:
    return pytest.RaisesExc(CallRefusedError, check=lambda error: error.peer_code == code)


def test_a_call_is_answered_and_counted() -> None:
    with (
        nodes("shop", "bank") as (shop, bank),
        served(bank.gateway, lambda call: f"{call.party} {call.kind} ".encode() + call.body),
        served(shop.gateway, echo),
    ):
        assert text(shop.gateway.call("bank", "echo", b"hello", LONG)) == "shop echo hello"
        assert text(bank.gateway.call("shop", "echo", memoryview(b"back"), LONG)) == "back"
        ours = shop.gateway.counters()["peers"]["bank"]
        theirs = bank.gateway.counters()["peers"]["shop"]
        assert (ours["calls_sent"], ours["calls_received"]) == (1, 1)
        assert (ours["call_bytes_sent"], ours["call_bytes_received"]) == (9, 19)
        assert (theirs["call_bytes_sent"], theirs["call_bytes_received"]) == (19, 9)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, MOST])
def test_any_size_up_to_the_limit(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with nodes("shop", "bank") as (shop, bank), served(bank.gateway, echo):
        assert shop.gateway.call("bank", "echo", body, LONG) == body


def test_larger_ones_are_refused_on_both_sides() -> None:
    failures: list[AtollError] = []

    def much(call: Call) -> bytes:
        try:
            bank.gateway.answer(call, bytes(MOST + 1))
        except AtollError as error:
            failures.append(error)
        return b"less"

    with nodes("shop", "bank") as (shop, bank), served(bank.gateway, much):
        with pytest.raises(UserError) as caught:
            shop.gateway.call("bank", "echo", bytes(MOST + 1), LONG)
        assert caught.value.code == "ATL-NET-005"
        assert text(shop.gateway.call("bank", "echo", b"", LONG)) == "less"
        assert [failure.code for failure in failures] == ["ATL-NET-005"]
        for kind in ("", "k" * 65):
            with refused("ATL-NET-027"):
                shop.gateway.call("bank", kind, b"", LONG)
        assert text(shop.gateway.call("bank", "é" * 64, b"", LONG)) == "less"


def test_a_refusal_has_the_peers_code_and_nothing_else() -> None:
    with nodes("shop", "bank") as (shop, bank), served(bank.gateway, refuse):
        with pytest.raises(CallRefusedError) as caught:
            shop.gateway.call("bank", "propose", b"", LONG)
        error = caught.value
        assert (error.code, error.peer_code, error.party) == ("ATL-NET-043", "ATL-JOB-001", "bank")


def test_only_a_code_can_be_told() -> None:
    with nodes("shop", "bank") as (shop, bank), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shop.gateway.call, "bank", "k", b"", LONG)
        call = bank.gateway.next_call(LONG)
        assert call is not None
        with refused("ATL-NET-027"):
            bank.gateway.refuse(call, "the balance is 17")
        assert bank.gateway.refuse(call, "ATL-JOB-002")
        assert not bank.gateway.refuse(call, "ATL-JOB-002")
        with refused_with("ATL-JOB-002"):
            waiting.result(LONG)


def test_calls_do_not_wait_for_each_other() -> None:
    count = 16
    with nodes("shop", "bank") as (shop, bank), ThreadPoolExecutor(count) as pool:
        asked = [
            pool.submit(shop.gateway.call, "bank", f"{number}", b"", LONG)
            for number in range(count)
        ]
        calls = [bank.gateway.next_call(LONG) for _ in range(count)]
        assert bank.gateway.next_call(0.01) is None
        for call in reversed(calls):
            assert call is not None
            assert bank.gateway.answer(call, call.kind.encode())
        assert [text(future.result(LONG)) for future in asked] == [str(n) for n in range(count)]


def test_more_than_a_partner_may_have_waiting_is_refused() -> None:
    body = bytes(15 << 20)
    with nodes("shop", "bank") as (shop, bank), ThreadPoolExecutor(4) as pool:
        asked, calls = [], []
        for _ in range(4):
            asked.append(pool.submit(shop.gateway.call, "bank", "k", body, LONG))
            calls.append(bank.gateway.next_call(LONG))
        with refused_with("ATL-NET-044"):
            shop.gateway.call("bank", "k", body, LONG)
        assert bank.gateway.counters()["refused"] == {"ATL-NET-044": 1}
        for call, future in zip(calls, asked, strict=True):
            assert call is not None
            assert bank.gateway.answer(call, b"")
            assert len(future.result(LONG)) == 0
        with served(bank.gateway, echo):
            shop.gateway.call("bank", "k", body, LONG)


def test_more_than_64_calls_of_a_partner_are_refused() -> None:
    with nodes("shop", "bank", "mill") as (shop, bank, mill), ThreadPoolExecutor(65) as pool:
        asked = [pool.submit(shop.gateway.call, "bank", "k", b"", LONG) for _ in range(64)]
        calls = [bank.gateway.next_call(LONG) for _ in range(64)]
        with refused_with("ATL-NET-044"):
            shop.gateway.call("bank", "k", b"", LONG)
        # Another partner's calls have their own place.
        asked.append(pool.submit(mill.gateway.call, "bank", "k", b"", LONG))
        calls.append(bank.gateway.next_call(LONG))
        for call in calls:
            assert call is not None
            assert bank.gateway.answer(call, b"done")
        assert all(text(future.result(LONG)) == "done" for future in asked)


def test_a_third_connection_for_calls_ends_the_first() -> None:
    with nodes("shop", "bank") as (shop, bank), ThreadPoolExecutor(3) as pool:
        asked, calls = [], []
        for _ in range(3):
            asked.append(pool.submit(shop.gateway.call, "bank", "k", b"", LONG))
            calls.append(bank.gateway.next_call(LONG))
            # Another entry for the peer, and so another connection for the next call.
            shop.knows(bank)
        with refused("ATL-NET-046"):
            asked[0].result(LONG)
        for call, future in zip(calls[1:], asked[1:], strict=True):
            assert call is not None
            assert bank.gateway.answer(call, b"done")
            assert text(future.result(LONG)) == "done"


def test_more_than_a_partner_may_have_arriving_is_refused() -> None:
    body = bytes(16 << 20)
    with nodes("shop", "bank") as (shop, bank), ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(shop.gateway.call, "bank", "k", body, LONG) for _ in range(16)]
        with served(bank.gateway, lambda call: b""):
            outcomes = [future.exception(LONG) for future in asked]
            assert len(shop.gateway.call("bank", "k", body, LONG)) == 0
        codes = {e.peer_code for e in outcomes if isinstance(e, CallRefusedError)}
        assert codes <= {"ATL-NET-044"}
        assert all(e is None or isinstance(e, CallRefusedError) for e in outcomes)


def test_nobody_answers() -> None:
    hasty = replace(BRISK, answer_seconds=0.3)
    with nodes("shop", "bank", settings=hasty) as (shop, bank):
        with refused_with("ATL-NET-045"):
            shop.gateway.call("bank", "k", b"", LONG)
        # The call is gone; who takes it later would work in vain.
        assert bank.gateway.next_call(0.01) is None


def test_the_callers_time_is_over() -> None:
    with nodes("shop", "bank") as (shop, bank):
        started = time.monotonic()
        with pytest.raises(AtollError) as caught:
            shop.gateway.call("bank", "k", b"", 0.3)
        assert time.monotonic() - started < LONG
        error = caught.value
        reported = error.peer_code if isinstance(error, CallRefusedError) else error.code
        assert reported in ("ATL-NET-002", "ATL-NET-045")
        assert error.party == "bank"
        until(lambda: bank.gateway.next_call(0.0) is None)


def test_an_answer_too_late_is_for_nobody() -> None:
    with nodes("shop", "bank") as (shop, bank), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shop.gateway.call, "bank", "k", b"", 0.5)
        call = bank.gateway.next_call(LONG)
        assert call is not None
        assert waiting.exception(LONG) is not None
        until(lambda: not bank.gateway.answer(call, b"late"))


def test_peers_that_cannot_be_called() -> None:
    with nodes("shop", "bank") as (shop, bank):
        with refused("ATL-NET-006"):
            shop.gateway.call("mill", "k", b"", LONG)
        ca = shop.identity.peers["bank"].ca
        shop.gateway.set_peer("bank", ca, None)
        with refused("ATL-NET-042"):
            shop.gateway.call("bank", "k", b"", LONG)
        shop.gateway.set_peer("bank", ca, "127.0.0.1:1")
        with pytest.raises(NetworkError) as caught:
            shop.gateway.call("bank", "k", b"", LONG)
        assert (caught.value.code, caught.value.party) == ("ATL-NET-010", "bank")
        with served(bank.gateway, echo):
            shop.knows(bank)
            assert text(shop.gateway.call("bank", "k", b"now", LONG)) == "now"
        shop.gateway.remove_peer("bank")
        with refused("ATL-NET-006"):
            shop.gateway.call("bank", "k", b"", LONG)


def test_certificates_are_checked_in_both_directions() -> None:
    shop, bank, other = Authority("shop"), Authority("bank"), Authority("shop")
    mill = Authority("mill")
    good = bank.identity("bank", [shop, mill])
    with nodes(shop.identity("shop", [bank]), good, mill.identity("mill", [bank])) as three:
        ours, theirs, third = (node.gateway for node in three)
        with served(theirs, echo):
            assert text(ours.call("bank", "k", b"ok", LONG)) == "ok"
            ours.set_peer("bank", Authority("bank").pem, three[1].address)
            with refused("ATL-NET-011"):
                ours.call("bank", "k", b"", LONG)
            # Another party at that address.
            third.set_peer("bank", bank.pem, three[0].address)
            with refused("ATL-NET-012", "ATL-NET-011"):
                third.call("bank", "k", b"", LONG)
            theirs.set_peer("shop", other.pem, None)
            ours.set_peer("bank", bank.pem, three[1].address)
            with refused("ATL-NET-016"):
                ours.call("bank", "k", b"", LONG)
            until(lambda: theirs.counters()["refused"].get("ATL-NET-011"))


def test_withdrawn_trust_ends_calls() -> None:
    with nodes("shop", "bank") as (shop, bank), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shop.gateway.call, "bank", "k", b"", LONG)
        assert bank.gateway.next_call(LONG) is not None
        bank.gateway.remove_peer("shop")
        with refused("ATL-NET-046"):
            waiting.result(LONG)
        with refused("ATL-NET-016"):
            shop.gateway.call("bank", "k", b"", LONG)


def test_a_node_that_is_started_again_is_dialled_again() -> None:
    with nodes("shop", "bank") as (shop, bank):
        with served(bank.gateway, echo):
            assert text(shop.gateway.call("bank", "k", b"one", LONG)) == "one"
        for _ in range(3):
            bank.gateway.close()
            with refused("ATL-NET-010", "ATL-NET-046"):
                shop.gateway.call("bank", "k", b"", LONG)
            bank.gateway = bank.start()
            bank.knows(shop)
            with served(bank.gateway, echo):
                assert text(shop.gateway.call("bank", "k", b"two", LONG)) == "two"


def test_a_cut_connection_breaks_its_calls_alone() -> None:
    with nodes("shop", "bank") as (shop, bank), ExitStack() as stack:
        proxy = Proxy(bank.address)
        stack.callback(proxy.close)
        shop.knows(bank, proxy.address)
        pool = stack.enter_context(ThreadPoolExecutor(1))
        waiting = pool.submit(shop.gateway.call, "bank", "k", b"", LONG)
        assert bank.gateway.next_call(LONG) is not None
        proxy.cut()
        with pytest.raises(NetworkError) as caught:
            waiting.result(LONG)
        assert caught.value.code == "ATL-NET-046"
        with served(bank.gateway, echo):
            assert text(shop.gateway.call("bank", "k", b"again", LONG)) == "again"
            assert text(shop.gateway.call("bank", "k", b"kept", LONG)) == "kept"
        assert proxy.connections == 2


def test_calls_go_on_over_a_renewal() -> None:
    shop, bank = Authority("shop"), Authority("bank")
    old = shop.identity("shop", [bank])
    new = shop.identity("shop", [bank])
    with (
        nodes(old, bank.identity("bank", [shop])) as (ours, theirs),
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(ours.gateway.call, "bank", "old", b"", LONG)
        assert theirs.gateway.next_call(LONG) is not None
        ours.gateway.renew(new.certificate, new.key_pem())
        second = pool.submit(ours.gateway.call, "bank", "new", b"", LONG)
        call = theirs.gateway.next_call(LONG)
        assert call is not None
        # What went over the old key's connection is cut, and the other side's with it.
        with refused("ATL-NET-046"):
            first.result(LONG)
        assert theirs.gateway.answer(call, b"still there")
        assert text(second.result(LONG)) == "still there"


def test_closing_ends_whoever_waits() -> None:
    with nodes("shop", "bank") as (shop, bank), ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(shop.gateway.call, "bank", "k", b"", LONG)
        assert bank.gateway.next_call(LONG) is not None
        idle = pool.submit(bank.gateway.next_call, LONG)
        started = time.monotonic()
        bank.gateway.close()
        with pytest.raises(CancelledError) as caught:
            idle.result(LONG)
        assert caught.value.code == "ATL-NET-022"
        with refused_with("ATL-NET-022"):
            waiting.result(LONG)
        bank.gateway.close()
        assert time.monotonic() - started < 10.0
        assert not bank.socket.exists()
        asking = pool.submit(shop.gateway.call, "bank", "k", b"", LONG)
        shop.gateway.close()
        assert asking.exception(LONG) is not None


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_a_waiting_call() -> None:
    with nodes("shop", "bank") as (shop, bank):
        with pytest.raises(KeyboardInterrupt):
            interrupted(bank.gateway.next_call, LONG)
        with pytest.raises(KeyboardInterrupt):
            interrupted(shop.gateway.call, "bank", "k", b"", LONG)


LEAVING = """
import sys, tempfile, threading, time
from pathlib import Path
from atoll.channel.grpc import Gateway
from tests.channel.grpc.world import identities

class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(1.0)

with tempfile.TemporaryDirectory() as folder:
    gateway = Gateway(identities("shop")["shop"], Path(folder) / "gate")
    threading.Thread(target=gateway.next_call, args=(600.0,), daemon=True).start()
slow = Slow()
"""


def test_an_interpreter_ends_while_a_thread_waits() -> None:
    command = [sys.executable, "-c", LEAVING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_bodies_are_read_only_views() -> None:
    with nodes("shop", "bank") as (shop, bank), served(bank.gateway, echo):
        answer: Buffer = shop.gateway.call("bank", "k", b"abc", LONG)
        assert isinstance(answer, memoryview)
        assert answer.readonly
