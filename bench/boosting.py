"""Two processes, joined by gRPC with mTLS on loopback, train boosted trees on synthetic columns.

Both parties hold the same seeded rows, aligned; the label depends on columns of both.
The reference is XGBoost with the same settings on the joined columns, in the same run.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from atoll.channel.api import Channel
from atoll.channel.party import Party
from atoll.core.limits import Limits
from atoll.core.names import Role, Scope
from atoll.core.random import PublicRandom
from atoll.learning.vertical.boosting import (
    BoostingInputs,
    BoostingParameters,
    TrainingHistory,
    train,
)
from bench.harness import ROOT, Options

Floats = npt.NDArray[np.float64]
ROLES = {"bank": Role.GUEST, "shop": Role.HOST}


@dataclass(frozen=True)
class Work:
    """What is trained."""

    rows: int
    guest_columns: int
    host_columns: int
    trees: int
    depth: int
    bins: int
    minimum_rows: int
    implementation: str

    @classmethod
    def of(cls, options: Options) -> Work:
        """Fill in the defaults."""
        return cls(
            options.rows or 100_000,
            50 if options.guest_columns is None else options.guest_columns,
            options.host_columns or 50,
            options.trees or 10,
            options.depth or 5,
            options.bins or 32,
            20 if options.minimum_rows is None else options.minimum_rows,
            options.protocol or "elgamal",
        )

    def columns(self, name: str) -> int:
        """Return how many columns a party holds."""
        return self.guest_columns if name == "bank" else self.host_columns


def column(name: str, index: int, rows: int) -> Floats:
    """Return one column of a party."""
    return np.random.default_rng([len(name), ord(name[0]), index]).normal(size=rows)


def features(work: Work, name: str) -> Floats:
    """Return float64[rows, columns] of a party."""
    whole = np.empty((work.rows, work.columns(name)))
    for index in range(whole.shape[1]):
        whole[:, index] = column(name, index, work.rows)
    return whole


def label(work: Work) -> Floats:
    """Return labels that depend on a few columns of both parties, also jointly."""
    bank = [column("bank", at, work.rows) for at in range(min(8, work.guest_columns))]
    shop = [column("shop", at, work.rows) for at in range(min(8, work.host_columns))]
    score = 0.4 * sum(bank, np.zeros(work.rows)) + 0.4 * sum(shop, np.zeros(work.rows))
    if bank:
        score = score + bank[0] * shop[0]
    noise = np.random.default_rng(0).logistic(size=work.rows)
    return (score + noise > 0).astype(np.float64)


def prepare(work: Work, name: str) -> tuple[BoostingInputs, BoostingParameters]:
    """Make a party's columns and the parameters."""
    own = features(work, name)
    names = tuple(f"{name}{index}" for index in range(own.shape[1]))
    truth = label(work) if ROLES[name] == Role.GUEST else None
    parameters = BoostingParameters(
        trees=work.trees,
        depth=work.depth,
        bins=work.bins,
        minimum_rows=work.minimum_rows,
        implementation="ideal" if work.implementation == "ideal" else "elgamal",
    )
    return BoostingInputs(own, names, truth), parameters


def training_auc(inputs: BoostingInputs, history: TrainingHistory) -> float | None:
    """Return the AUC on the training rows, at the guest."""
    from sklearn.metrics import roc_auc_score

    if inputs.label is None or history.margin is None:
        return None
    return float(roc_auc_score(inputs.label, history.margin))


def take_part(name: str, folder: Path, address: str, work: Work) -> dict[str, Any]:
    """Be one party; ``-`` as address: listen, and print where. Return what it cost."""
    from atoll.channel.grpc import GrpcTransport
    from atoll.channel.identity import load_party
    from atoll.operators import coin_toss

    (peer,) = set(ROLES) - {name}
    inputs, parameters = prepare(work, name)
    listens = address == "-"
    where: dict[str, Any] = {"listen": "127.0.0.1:0"} if listens else {"addresses": {peer: address}}
    with GrpcTransport(load_party(folder), [peer], **where) as transport:
        if listens:
            print(json.dumps(transport.address), flush=True)
        limits = Limits(receive_seconds=3600.0)
        channel = Channel(transport, Scope("bench", "start"), limits)
        party = Party(name, dict(ROLES), channel, bytes(32), PublicRandom(b""), limits=limits)
        session = coin_toss.run(party)
        channel = channel.within("boosting")
        party = Party(name, dict(ROLES), channel, session, PublicRandom(session), limits=limits)
        wall, processor = time.perf_counter(), time.process_time()
        _, history = train(party, inputs, parameters)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        counted = channel.counters.total(task="boosting")
    return {
        "seconds": wall,
        "cpu_seconds": processor,
        "sent": counted.bytes_sent,
        "rounds": counted.rounds,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "auc": training_auc(inputs, history),
    }


def _read(stream: IO[str] | None) -> Any:
    line = stream.readline() if stream else ""
    if not line:
        raise RuntimeError("a party of the measurement ended without a word")
    return json.loads(line)


def both(work: Work) -> dict[str, dict[str, Any]]:
    """Run both parties as processes and return what each reports."""
    from atoll.channel.identity import init_party, trust

    with tempfile.TemporaryDirectory() as base:
        folders = {name: Path(base) / name for name in ROLES}
        identities = {name: init_party(folder, name) for name, folder in folders.items()}
        trust(folders["bank"], "shop", identities["shop"].ca)
        trust(folders["shop"], "bank", identities["bank"].ca)
        address = "-"
        children: dict[str, subprocess.Popen[str]] = {}
        try:
            for name, folder in folders.items():
                command = [sys.executable, "-m", "bench.boosting", name, str(folder), address]
                children[name] = subprocess.Popen(
                    [*command, json.dumps(asdict(work))],
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                if address == "-":
                    address = _read(children[name].stdout)
            return {name: _read(child.stdout) for name, child in children.items()}
        finally:
            for child in children.values():
                child.kill()
                child.communicate()


def xgboost_reference(work: Work) -> dict[str, Any]:
    """Train XGBoost on the joined columns with the same settings and return its line."""
    import xgboost
    from sklearn.metrics import roc_auc_score

    joined = np.hstack([features(work, name) for name in ROLES])
    truth = label(work)
    wall, processor = time.perf_counter(), time.process_time()
    data = xgboost.QuantileDMatrix(joined, truth, max_bin=work.bins)
    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_bin": work.bins,
        "max_depth": work.depth,
        "eta": 0.3,
        "base_score": float(truth.mean()),
    }
    model = xgboost.train(settings, data, work.trees)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    auc = float(roc_auc_score(truth, model.predict(data)))
    return {
        "name": "boosting.train.reference",
        "params": asdict(work) | {"library": f"xgboost {xgboost.__version__}", "auc": auc},
        "seconds": wall,
        "cpu_seconds": processor,
        "rate": work.rows * work.trees / wall,
    }


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield the training's line (rate: rows times trees per second) and its reference's."""
    work = Work.of(options)
    found = both(work)
    sent = {"guest_to_host": found["bank"]["sent"], "host_to_guest": found["shop"]["sent"]}
    wall = max(one["seconds"] for one in found.values())
    yield {
        "name": "boosting.train",
        "params": asdict(work) | {"auc": found["bank"]["auc"]},
        "seconds": wall,
        "cpu_seconds": sum(one["cpu_seconds"] for one in found.values()),
        "bytes": sum(sent.values()),
        "bytes_by_direction": sent,
        "rounds": found["bank"]["rounds"],
        "rate": work.rows * work.trees / wall,
        "peak_memory": {str(ROLES[name]): one["peak"] for name, one in found.items()},
    }
    yield xgboost_reference(work)


if __name__ == "__main__":
    role, place, at, text = sys.argv[1:]
    print(json.dumps(take_part(role, Path(place), at, Work(**json.loads(text)))), flush=True)
