"""A party of a training in a process of its own: arguments FOLDER NAME VALUES SUM ADDRESS.

NAME ``all`` is a simulation of all of them. The aggregator prints where it listens. Each prints in
the end, as JSON, by how many bytes its resident memory grew at most over the training, and a digest
of the weights that it has.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from atoll.channel.api import Channel
from atoll.channel.grpc import GrpcTransport, WireSettings
from atoll.channel.identities import SeatKeys
from atoll.channel.identity import export_ca, init_party, load_party, trust
from atoll.channel.memory import MemoryNetwork
from atoll.channel.party import Party
from atoll.core.limits import Limits
from atoll.core.names import Role, Scope
from atoll.core.random import PublicRandom, SecretRandom
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.models.mlp import MLP
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.parties import aggregator
from atoll.learning.horizontal.parties.adding import Adding
from atoll.learning.horizontal.parties.client import Client, Work
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.training import Training

HUB, ALL = "hub", "all"
CLIENTS = ("c0", "c1", "c2")
ROLES = {HUB: Role.AGGREGATOR, **dict.fromkeys(CLIENTS, Role.CLIENT)}
ROWS, COLUMNS, FIRST = 64, 8, 1 << 13
SETTINGS = WireSettings(connect_seconds=60.0, window_bytes=8 << 20)


def work(values: int, sum_: str, rounds: int = 1) -> Work:
    """Return the training of a network of about so many weights; its work is alike at each."""
    hidden = (FIRST, max(1, values // FIRST))
    given: dict[str, Any] = {"family": "softmax", "classes": 2, "rounds": rounds}
    parameters = HorizontalParameters(sum=sum_, minimum_clients=3, batch_size=None, **given)  # type: ignore[arg-type]
    mask = parameters.mask(len(CLIENTS), ROWS)
    return Work(
        MLP(COLUMNS, hidden, Softmax(2)),
        parameters.trained_by(),
        parameters.chain(mask),
        Adding(mask, 3),
        rounds,
        0,
        3,
        classifies=True,
        bound=parameters.bound,
    )


def rows_of(number: int) -> ClientRows:
    """Return a client's rows."""
    random = np.random.default_rng(number)
    rows = random.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    return ClientRows(rows, (rows[:, 0] > 0).astype(np.int64))


def prepare(folder: Path) -> None:
    """Make all parties' folders; clients and the aggregator know each other."""
    for name in ROLES:
        init_party(folder / name, name)
    for name in CLIENTS:
        trust(folder / name, HUB, export_ca(folder / HUB))
        trust(folder / HUB, name, export_ca(folder / name))


def memory(what: str) -> int:
    """Return resident memory in bytes: ``VmHWM`` the highest so far, ``VmRSS`` now.

    Pages of files are the system's to write out, and do not count.
    """
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"{what}:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1]) * 1024


class Peak:
    """The highest anonymous resident memory while it watches, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.highest = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.highest = max(self.highest, memory("RssAnon"))


def report(peak: Peak, before: int, weights: np.ndarray) -> None:
    """Print what was measured."""
    digest = hashlib.sha256(weights.data).hexdigest()
    grown = peak.highest - before
    print(json.dumps({"grown": grown, "size": weights.nbytes, "weights": digest}), flush=True)


def party_of(name: str, transport: Any) -> Party:
    """Return the party, with keys that all of this test can work out."""
    keys = {
        n: Ed25519PrivateKey.from_private_bytes(hashlib.sha256(n.encode()).digest()) for n in ROLES
    }
    public = {n: key.public_key().public_bytes_raw() for n, key in keys.items()}
    return Party(
        name=name,
        roles=ROLES,
        channel=Channel(transport, Scope("job", "task", 0), Limits()),
        session=bytes(32),
        public_rng=PublicRandom(bytes(32)),
        secret_rng=SecretRandom(),
        clock=MemoryNetwork(tuple(ROLES)).clock,
        limits=Limits(),
        step_id=bytes(32),
        identities=SeatKeys(keys[name], public),
        reachable=CLIENTS if name == HUB else (HUB,),
    )


def simulated(of: Work) -> np.ndarray:
    """Return the weights of the training with all clients in this process."""
    public = PublicRandom(bytes(32))
    clients = SimulatedClients(
        of.algorithm, of.model, len(CLIENTS), rows_of, public, chain=of.chain
    )
    start = of.algorithm.start(of.model.initial(public.generator("horizontal", 0, "weights")))
    training = Training(of.algorithm, Participation(method="all"), of.rounds)
    return training.run(start, clients, public).weights


def main(folder: Path, name: str, values: int, sum_: str, address: str) -> None:
    """Take part."""
    of = work(values, sum_)
    if name == ALL:
        before = memory("RssAnon")
        with Peak() as peak:
            weights = simulated(of)
        report(peak, before, weights)
        return
    identity = load_party(folder / name)
    if name == HUB:
        made = GrpcTransport(identity, CLIENTS, listen="127.0.0.1:0", settings=SETTINGS)
        print(made.address, flush=True)
    else:
        made = GrpcTransport(identity, [HUB], addresses={HUB: address}, settings=SETTINGS)
    with made:
        party, before = party_of(name, made), memory("RssAnon")
        with Peak() as peak:
            if name == HUB:
                weights = aggregator.run(party, of).weights
            else:
                data = rows_of(CLIENTS.index(name))
                weights = Client(party, of, data, data).run()
        report(peak, before, weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
