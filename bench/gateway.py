"""Worker to worker through the gateways of two nodes; each of the four is a process of its own.

The reference is the channel between two processes without gateways, in turns with it.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from atoll.channel.grpc import Gateway, GatewayTransport, GrpcTransport
from atoll.channel.identity import load_party
from bench.child import PIECE, SMALL, Child, Wire, reply, serve, usage

RUNS = 5


def run(folder: Path, pieces: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield both measurements and their references: medians of five runs each."""
    plan = {"round_trip": max(1, rounds // RUNS), "throughput": max(1, pieces // RUNS)}
    with _gates(folder) as gates:
        for work, count in plan.items():
            ours, bare = [], []
            for number in range(RUNS):
                label = f"{work}-{number}"
                for gate in gates.values():
                    gate.request(json.dumps({"register": label}))
                ours.append(_once(folder, work, count, gates, label))
                bare.append(_once(folder, work, count, {}, ""))
            name = "gateway_trip" if work == "round_trip" else "gateway_rate"
            yield _line(name, work, count, ours)
            yield _line(f"{name}.reference", work, count, bare)


@contextmanager
def _gates(folder: Path) -> Iterator[dict[str, Child]]:
    with ExitStack() as stack:
        gates = {}
        for party in ("shop", "bank"):
            gates[party] = Child("bench.gateway", folder, "gate", party)
            stack.callback(gates[party].end)
        for party, other in (("shop", "bank"), ("bank", "shop")):
            gates[party].request(json.dumps({"peer": other, "address": gates[other].first}))
        yield gates


def _once(
    folder: Path, work: str, count: int, gates: dict[str, Child], label: str
) -> dict[str, Any]:
    bank = Child("bench.gateway", folder, "work", work, count, label)
    try:
        with _open(folder, "shop", label, str(bank.first)) as transport:
            exchange = Wire(transport, work)
            exchange.warm()
            others = {"bank": bank, **{f"gateway of {p}": gate for p, gate in gates.items()}}
            before = {"shop": usage()} | {name: other.usage() for name, other in others.items()}
            start = time.perf_counter()
            exchange.work(count)
            seconds = time.perf_counter() - start
            after = {"shop": usage()} | {name: other.usage() for name, other in others.items()}
    finally:
        bank.end()
    cpu = {name: used.cpu - before[name].cpu for name, used in after.items()}
    return {"seconds": seconds, "cpu": cpu, "peak": {n: used.peak for n, used in after.items()}}


def _line(name: str, work: str, count: int, runs: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = statistics.median(run["seconds"] for run in runs)
    line: dict[str, Any] = {
        "name": f"channel.{name}",
        "cpu_seconds": statistics.median(sum(run["cpu"].values()) for run in runs),
        "peak_memory": {who: max(run["peak"][who] for run in runs) for who in runs[0]["peak"]},
    }
    parts = {who: statistics.median(run["cpu"][who] for run in runs) for who in runs[0]["cpu"]}
    params = {"runs": RUNS, "cpu_seconds": {k: round(v, 4) for k, v in parts.items()}}
    if work == "round_trip":
        moved = {"shop_to_bank": count * SMALL, "bank_to_shop": count * SMALL}
        trips = {"message_bytes": SMALL, "round_trips": count}
        line |= {"params": trips | params, "seconds": seconds / count, "rounds": count}
        line |= {"rate": count / seconds}
    else:
        moved = {"shop_to_bank": count * PIECE, "bank_to_shop": 0}
        sizes = {"message_bytes": PIECE, "messages": count}
        line |= {"params": sizes | params, "seconds": seconds, "rate": count * PIECE / seconds}
    return line | {"bytes": sum(moved.values()), "bytes_by_direction": moved}


def _token(label: str) -> bytes:
    return hashlib.sha256(label.encode()).digest()


def _socket(folder: Path, party: str, label: str) -> Path:
    return folder / f"{party}-{label}.work"


def _open(
    folder: Path, party: str, label: str, address: str = ""
) -> GatewayTransport | GrpcTransport:
    peer = "bank" if party == "shop" else "shop"
    if not label:
        identity = load_party(folder / party)
        if party == "bank":
            return GrpcTransport(identity, [peer], listen="127.0.0.1:0")
        return GrpcTransport(identity, [peer], addresses={peer: address})
    return GatewayTransport(
        party,
        {peer: True},
        gateway=folder / f"{party}.gate",
        socket=_socket(folder, party, label),
        token=_token(label),
        label=label,
    )


def _gate(folder: Path, party: str) -> None:
    """Be a node's gateway: do what each line asks for."""
    identity = load_party(folder / party)
    with Gateway(identity, folder / f"{party}.gate", listen="127.0.0.1:0") as gateway:
        reply(gateway.address)
        for line in sys.stdin:
            order = json.loads(line) if line.strip() else {}
            if "peer" in order:
                pin = identity.peer(order["peer"])
                gateway.set_peer(pin.party, pin.ca, order["address"])
            if "register" in order:
                label = order["register"]
                peers = list(identity.peers)
                socket = _socket(folder, party, label)
                gateway.register(label, _token(label), socket, peers)
            used = usage()
            reply([used.cpu, used.peak])


def _work(folder: Path, work: str, count: int, label: str) -> None:
    """Be bank's worker."""
    with _open(folder, "bank", label) as bank:
        reply(bank.address if isinstance(bank, GrpcTransport) else None)
        serve(bank, work, count)


if __name__ == "__main__":
    if sys.argv[2] == "gate":
        _gate(Path(sys.argv[1]), sys.argv[3])
    else:
        _work(Path(sys.argv[1]), sys.argv[3], int(sys.argv[4]), sys.argv[5])
