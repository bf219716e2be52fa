"""Compressed updates between parties: the same bits as simulated, in the bytes that are stated."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.faulty import Fault
from atoll.channel.party import Party
from atoll.components.horizontal import work_of
from atoll.core.errors import AtollError
from atoll.core.message import Message
from atoll.core.names import Role
from atoll.core.random import PublicRandom
from atoll.flow.work.checkpoints import FileCheckpoints
from atoll.learning.horizontal.algorithm import WEIGHTS
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.participation import Participation
from atoll.learning.horizontal.parties import aggregator
from atoll.learning.horizontal.parties.client import Client, Work
from atoll.learning.horizontal.parties.messages import Coded, Difference
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.traffic import CountedClients, coded_bytes
from atoll.learning.horizontal.training import Training
from atoll.models.network.spec import NetworkSpec
from tests.learning.horizontal import tasks
from tests.learning.horizontal.attempts import Kept

CLIENTS = tuple(f"c{at}" for at in range(4))
ROLES = {"hub": Role.AGGREGATOR, **dict.fromkeys(CLIENTS, Role.CLIENT)}
SEED, ROUNDS = 4, 2
PUBLIC = PublicRandom(hashlib.sha256(f"atoll/world/v1/{SEED}".encode()).digest())
OWN = tasks.own_of(SEED, CLIENTS)
SPEC = NetworkSpec(columns=12, family="softmax", classes=5, hidden=(20,))
SIZE = 12 * 20 + 20 + 20 * 5 + 5
DATA = {
    name: ClientRows(rows.rows.astype(np.float32), rows.targets)
    for name, rows in zip(CLIENTS, tasks.blobs(4, 200, 0.5), strict=True)
}
CLIP: dict[str, Any] = {"clip": 2.0, "weighting": "equal"}
PLAIN: list[dict[str, Any]] = [
    {},
    {"compression": "random_k", "compression_share": 0.25},
    {"compression": "top_k"},
    {"compression": "quantised", "compression_bits": 1},
    {"compression": "quantised", "compression_bits": 4, "algorithm": "scaffold"},
    {"compression": "rotated", "compression_bits": 4},
    {"compression": "quantised", "compression_bits": 4, "down_bits": 4},
]
MASKED: list[dict[str, Any]] = [
    {},
    {"compression": "random_k", "compression_share": 0.25},
    {"compression": "rotated", "compression_bits": 4, **CLIP},
    {"compression": "rotated", "compression_bits": 1, "algorithm": "scaffold", **CLIP},
]


def _work(sum_: Literal["plain", "masked"], **chosen: Any) -> Work:
    given = {"rounds": ROUNDS, "evaluate_every": 0, "family": "softmax", "classes": 5}
    parameters = HorizontalParameters(sum=sum_, **{**given, **chosen})
    rows = {name: len(data) for name, data in DATA.items()}
    return work_of(parameters, SPEC, len(CLIENTS), rows)


def _run(
    of: Work,
    lie: Callable[[Party], None] = lambda party: None,
    *,
    faults: Mapping[str, Sequence[Fault]] | None = None,
    kept: Mapping[str, FileCheckpoints] | None = None,
) -> world.World:
    def entry(party: Party) -> Any:
        lie(party)
        if kept is not None:
            party = dataclasses.replace(party, checkpoints=kept[party.name])
        if party.role == Role.AGGREGATOR:
            return aggregator.run(party, of)
        return Client(party, of, DATA[party.name], DATA[party.name]).run()

    return world.run(
        ROLES,
        entry,
        seed=SEED,
        faults=faults,
        reachable=lambda name: CLIENTS if name == "hub" else ("hub",),
    )


def _simulated(of: Work) -> tuple[np.ndarray, CountedClients]:
    """Return what clients hold after the same training in a simulation, with its bytes."""
    data = list(DATA.values())
    clients = SimulatedClients(
        of.algorithm, of.model, len(data), data.__getitem__, PUBLIC, chain=of.chain, own=OWN
    )
    counted = CountedClients(clients)
    start = of.algorithm.start(of.model.initial(PUBLIC.generator("horizontal", 0, "weights")))
    training = Training(of.algorithm, Participation(method="all"), of.rounds)
    state = training.run(start, counted, PUBLIC)
    return of.algorithm.message(state)[WEIGHTS], counted


def _up(done: world.World) -> int:
    """Return the bytes that all clients sent in rounds of training."""
    return sum(
        traffic.bytes_sent
        for name in CLIENTS
        for (_, _, tag), traffic in done.channels[name].counters.snapshot().items()
        if tag.startswith("train-")
    )


@pytest.mark.parametrize("chosen", PLAIN, ids=str)
def test_in_the_clear_the_bytes_are_those_of_the_size_function(chosen: dict[str, Any]) -> None:
    of = _work("plain", **chosen)
    done = _run(of).check()
    weights, counted = _simulated(of)
    up = counted.up
    assert np.array_equal(done.results["hub"].weights, weights)
    assert _up(done) == up
    # The chain's own formula is of the values alone: numbers and frames come on top.
    vectors = 2 if chosen.get("algorithm") == "scaffold" else 1
    values = ROUNDS * len(CLIENTS) * of.chain.bytes(SIZE, vectors)
    assert values < up < values + ROUNDS * len(CLIENTS) * (120 + 100 * vectors)


@pytest.mark.parametrize("chosen", MASKED, ids=str)
def test_under_masks_the_bytes_are_those_of_the_ring_and_the_sum(chosen: dict[str, Any]) -> None:
    of = _work("masked", **chosen)
    done = _run(of).check()
    weights, counted = _simulated(of)
    up = counted.up
    assert np.array_equal(done.results["hub"].weights, weights.astype(np.float32))
    # What the secure sum sends beside the vectors is the same for all: taken from another run.
    reference = _work("masked", **{n: v for n, v in chosen.items() if n in {"algorithm", *CLIP}})
    other = _run(reference).check()
    fixed = _up(other) - _simulated(reference)[1].up
    # Keys, shares and signatures; lengths are written in a few bytes more or less.
    assert abs(_up(done) - up - fixed) <= 8 * ROUNDS * len(CLIENTS)


@pytest.mark.parametrize("sum_", ["plain", "masked"])
@pytest.mark.parametrize("bits", [2, 8])
def test_differences_go_down_in_the_bytes_of_the_size_function(
    sum_: Literal["plain", "masked"], bits: int
) -> None:
    of = _work(sum_, algorithm="scaffold", down_bits=bits, rounds=4)
    done = _run(of).check()
    weights, counted = _simulated(of)
    for found in (done.results["hub"].weights, *(done.results[name] for name in CLIENTS)):
        assert np.array_equal(found, weights.astype(np.float32))
    sent = {
        tag: traffic.bytes_sent
        for (peer, _, tag), traffic in done.channels["hub"].counters.snapshot().items()
        if tag.startswith("begin/") and peer == "c0"
    }
    assert sent.keys() == {"begin/weights", "begin/control"}
    # A simulated round ends with its sum; between parties the model goes down once more.
    coder = of.algorithm.coder  # type: ignore[attr-defined]
    last = 2 * coded_bytes(coder.coded_bytes(SIZE), Difference)
    assert sum(sent.values()) == counted.down / len(CLIENTS) + last
    assert sum(sent.values()) < 0.75 * 2 * 6 * 4 * SIZE


@pytest.mark.parametrize("victim", ["hub", "c3"])
def test_a_restart_with_differences_gives_the_same_bits(tmp_path: Path, victim: str) -> None:
    of = _work("masked", algorithm="scaffold", down_bits=4, rounds=4, minimum_clients=4)
    kept = Kept(tmp_path, ROLES)
    fault = {victim: [Fault("kill", 60 if victim == "hub" else 17)]}
    cut = _run(of, faults=fault, kept=kept.attempt())
    assert "hub" not in cut.results
    again = _run(of, kept=kept.attempt()).check()
    assert np.array_equal(again.results["hub"].weights, _run(of).check().results["hub"].weights)
    assert len(again.results["hub"].curve) == 1


def test_compression_sends_less() -> None:
    sizes = {str(chosen): _up(_run(_work("plain", **chosen)).check()) for chosen in PLAIN}
    whole = sizes.pop("{}")
    bits1 = sizes.pop(str(PLAIN[3]))
    scaffold = sizes.pop(str(PLAIN[4]))
    assert all(size < 0.45 * whole for size in sizes.values())
    assert bits1 < 0.25 * whole
    assert scaffold < 0.6 * whole


@pytest.mark.parametrize(
    ("sum_", "chosen", "code"),
    [
        ("masked", {"compression": "top_k"}, "ATL-HOR-050"),
        ("masked", {"compression": "quantised"}, "ATL-HOR-050"),
        ("masked", {"compression": "rotated"}, "ATL-HOR-123"),
        ("plain", {"compression": "top_k", "clip": 1.0}, "ATL-HOR-050"),
    ],
)
def test_what_does_not_go_together_is_refused_in_the_plan(
    sum_: Literal["plain", "masked"], chosen: dict[str, Any], code: str
) -> None:
    with pytest.raises(AtollError, match=code):
        _work(sum_, **chosen)


def _lying(change: Callable[[Coded], Message]) -> Callable[[Party], None]:
    def lie(party: Party) -> None:
        if party.name != "c1":
            return
        send = party.channel.send

        def changed(receiver: str, tag: str, message: Message) -> None:
            send(receiver, tag, change(message) if isinstance(message, Coded) else message)

        party.channel.send = changed  # type: ignore[method-assign]

    return lie


@pytest.mark.parametrize("method", ["top_k", "quantised"])
@pytest.mark.parametrize(
    "change",
    [
        lambda m: Coded(m.first + 1, m.data),
        lambda m: Coded(m.first, m.data[:-1]),
        lambda m: Coded(m.first, np.append(m.data, np.uint8(0))),
        lambda m: Coded(m.first, np.full(len(m.data), 255, np.uint8)),
    ],
)
def test_bytes_of_no_update_are_refused_by_the_aggregator(
    method: str, change: Callable[[Coded], Message]
) -> None:
    done = _run(_work("plain", compression=method), _lying(change))
    assert getattr(done.errors["hub"], "code", "") == "ATL-HOR-081"
