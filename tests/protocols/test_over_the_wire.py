"""Operators over the real transport: gRPC with mTLS on loopback, the same bytes as in memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from atoll.channel.api import Channel
from atoll.channel.grpc import GrpcTransport
from atoll.channel.identity import init_party, load_party, trust
from atoll.channel.party import Party
from atoll.channel.world import run
from atoll.core.names import Role, Scope
from atoll.core.random import PublicRandom
from atoll.operators import coin_toss, histogram, psi
from atoll.operators.histogram import NodeBound, NodeCuts
from atoll.operators.histogram.ideal import left_sums

ROLES = {"bank": Role.GUEST, "shop": Role.HOST}
COMMON = 300


def transports(folder: Path) -> dict[str, GrpcTransport]:
    identities = {name: init_party(folder / name, name) for name in ROLES}
    trust(folder / "bank", "shop", identities["shop"].ca)
    trust(folder / "shop", "bank", identities["bank"].ca)
    bank = GrpcTransport(load_party(folder / "bank"), ["shop"], listen="127.0.0.1:0")
    addresses = {"bank": str(bank.address)}
    shop = GrpcTransport(load_party(folder / "shop"), ["bank"], addresses=addresses)
    return {"bank": bank, "shop": shop}


def entry(party: Party) -> tuple[bytes, psi.PsiResult, Any]:
    ids = np.arange(COMMON + 50) if party.role == Role.GUEST else np.arange(COMMON)[::-1]
    array = pa.array([b"%d" % number for number in ids])
    found = psi.run(party, array, psi.PsiParameters(chunk_rows=128))
    seed = coin_toss.run(party)
    values = np.arange(COMMON, dtype=np.int32)
    bins = (np.arange(COMMON, dtype=np.uint8) % 4).reshape(-1, 1)
    cut = np.zeros(1, np.uint32), np.ones(1, np.uint16), np.zeros(1, np.bool_)
    node = NodeCuts(np.arange(COMMON, dtype=np.uint32), *cut)
    if party.role == Role.HOST:
        host = histogram.host(party, "elgamal")
        host.start()
        host.receive(0, COMMON)
        host.reply("root", bins, 5, [node])
        return seed, found, None
    guest = histogram.guest(party, "elgamal")
    guest.start()
    guest.publish(0, values, -values)
    high = int(values.sum())
    sums = guest.collect("shop", "root", [NodeBound(1, 0, high, -high, 0)])
    expected = int(left_sums(values, bins, 5, node)[0])
    assert [[part.tolist() for part in opened] for opened in sums] == [
        [[expected], [-expected], [True]]
    ]
    return seed, found, sums


def over_the_wire(folder: Path, work: Callable[[Party], Any]) -> dict[str, tuple[Any, Channel]]:
    def one(name: str, transport: GrpcTransport) -> tuple[Any, Channel]:
        with transport:
            channel = Channel(transport, Scope("job", "task"))
            party = Party(name, dict(ROLES), channel, bytes(32), PublicRandom(b""))
            return work(party), channel

    with ThreadPoolExecutor(2) as pool:
        ends = transports(folder).items()
        futures = {name: pool.submit(one, name, transport) for name, transport in ends}
        return {name: future.result() for name, future in futures.items()}


def test_operators_run_over_mutual_tls_as_they_do_in_memory(tmp_path: Path) -> None:
    found = over_the_wire(tmp_path, entry)
    world = run(ROLES, entry).check()
    (seed, bank, _), (other, shop, _) = found["bank"][0], found["shop"][0]
    assert seed == other
    assert bank.count == shop.count == COMMON
    assert bank.indices.tolist() == world.results["bank"][1].indices.tolist()
    assert shop.indices.tolist() == world.results["shop"][1].indices.tolist()
    for name, (_, channel) in found.items():
        assert channel.counters.total() == world.channels[name].counters.total()
        assert channel.disclosures.counts == world.channels[name].disclosures.counts
