"""Two processes, joined by gRPC with mTLS on loopback, intersect their ids.

Each party has half of its ids in common with the other and one thread for its kernels. The
reference is OpenSSL's X25519, which an intersection without batched kernels would be made of; the
floor is what our own kernels need for the same points without anything around them.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from atoll.channel.api import Channel
from atoll.channel.grpc import GrpcTransport
from atoll.channel.identity import init_party, load_party, trust
from atoll.channel.party import Party
from atoll.core.limits import Limits
from atoll.core.names import Role, Scope
from atoll.core.random import PublicRandom, SecretRandom
from atoll.crypto.dh import DhScalar
from atoll.operators import coin_toss, psi
from bench.harness import ROOT, Options

ROLES = {"bank": Role.GUEST, "shop": Role.HOST}
SAMPLE = 1 << 14


def ids(role: str, rows: int) -> pa.Array:
    """Return ``rows`` ids in a seeded order, half of them the other party's too."""
    first = 10**11 + (0 if role == "bank" else rows - rows // 2)
    numbers = np.random.default_rng(len(role)).permutation(rows) + first
    return pc.cast(pc.cast(pa.array(numbers), pa.string()), pa.binary())


def take_part(name: str, folder: Path, address: str, rows: int, protocol: str) -> dict[str, Any]:
    """Be one party; ``-`` as address: listen, and print where. Return what it cost."""
    (peer,) = set(ROLES) - {name}
    own = ids(name, rows)
    listens = address == "-"
    listen = "127.0.0.1:0" if listens else None
    addresses = None if listens else {peer: address}
    identity = load_party(folder)
    with GrpcTransport(identity, [peer], listen=listen, addresses=addresses) as transport:
        if listens:
            print(json.dumps(transport.address), flush=True)
        limits = Limits(threads=1, receive_seconds=3600.0)
        channel = Channel(transport, Scope("bench", "start"), limits)
        party = Party(name, dict(ROLES), channel, bytes(32), PublicRandom(b""), limits=limits)
        session = coin_toss.run(party)
        channel = channel.within("psi")
        party = Party(name, dict(ROLES), channel, session, PublicRandom(b""), limits=limits)
        wall, processor = time.perf_counter(), time.process_time()
        found = psi.run(party, own, psi.PsiParameters.model_validate({"protocol": protocol}))
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        counted = channel.counters.total(task="psi")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert found.count == rows // 2
    return {
        "seconds": wall,
        "cpu_seconds": processor,
        "sent": counted.bytes_sent,
        "rounds": counted.rounds,
        "peak": peak,
    }


def _read(stream: IO[str] | None) -> Any:
    line = stream.readline() if stream else ""
    if not line:
        raise RuntimeError("a party of the measurement ended without a word")
    return json.loads(line)


def both(rows: int, protocol: str) -> dict[str, dict[str, Any]]:
    """Run both parties as processes and return what each reports."""
    with tempfile.TemporaryDirectory() as base:
        folders = {name: Path(base) / name for name in ROLES}
        identities = {name: init_party(folder, name) for name, folder in folders.items()}
        trust(folders["bank"], "shop", identities["shop"].ca)
        trust(folders["shop"], "bank", identities["bank"].ca)
        address = "-"
        children: dict[str, subprocess.Popen[str]] = {}
        try:
            for name, folder in folders.items():
                command = [sys.executable, "-m", "bench.psi", name, str(folder), address]
                children[name] = subprocess.Popen(
                    [*command, str(rows), protocol], cwd=ROOT, stdout=subprocess.PIPE, text=True
                )
                if address == "-":
                    address = _read(children[name].stdout)
            return {name: _read(child.stdout) for name, child in children.items()}
        finally:
            for child in children.values():
                child.kill()
                child.communicate()


def floor_seconds(rows: int) -> float:
    """Return the processor seconds of the kernels alone for both parties' points."""
    values = np.frombuffer(b"".join(ids("bank", SAMPLE).to_pylist()), np.uint8)
    offsets = np.arange(0, len(values) + 1, 12, dtype=np.int64)
    scalar = DhScalar(SecretRandom())
    start = time.process_time()
    points = scalar.hash_and_mask(values, offsets, b"bench", 1)
    scalar.mask(points, 1)
    return (time.process_time() - start) * 2 * rows / SAMPLE


def openssl_rate(seconds: float = 0.5) -> float:
    """Return OpenSSL's scalar multiplications per second on one core."""
    key, point = X25519PrivateKey.generate(), X25519PrivateKey.generate().public_key()
    start, count = time.process_time(), 0
    while time.process_time() - start < seconds:
        for _ in range(200):
            key.exchange(point)
        count += 200
    return count / (time.process_time() - start)


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield the intersection's line and that of its reference."""
    rows, protocol = options.rows or 100_000, options.protocol or "ecdh"
    found = both(rows, protocol)
    processor = sum(one["cpu_seconds"] for one in found.values())
    sent = {"guest_to_host": found["bank"]["sent"], "host_to_guest": found["shop"]["sent"]}
    wall = max(one["seconds"] for one in found.values())
    floor = floor_seconds(rows) if protocol == "ecdh" else None
    yield {
        "name": f"psi.{protocol}",
        "params": {"rows": rows},
        "seconds": wall,
        "cpu_seconds": processor,
        "bytes": sum(sent.values()),
        "bytes_by_direction": sent,
        "rounds": found["bank"]["rounds"],
        "rate": rows / wall,
        "peak_memory": {str(ROLES[name]): one["peak"] for name, one in found.items()},
        "floor_ratio": processor / floor if floor else None,
    }
    rate = openssl_rate()
    # Four multiplications an id: each party masks its own and the other's; hashing not counted.
    needed = 4 * rows / rate
    yield {
        "name": f"psi.{protocol}.reference",
        "params": {"rows": rows, "library": "OpenSSL X25519"},
        "cpu_seconds": needed,
        "rate": rate,
    }


if __name__ == "__main__":
    role, place, at, count, chosen = sys.argv[1:]
    result = take_part(role, Path(place), at, int(count), chosen)
    print(json.dumps(result), flush=True)
