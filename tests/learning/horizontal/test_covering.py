"""Every pair of algorithm, compression, secure sum and noise: exact, within its error, or refused.

A round of tiny clients through the objects of a simulation. Under a secure sum the sum of the
updates is taken by the protocol itself, between parties, and must have the bits of the sum in the
clear. Then it must be that of the clipped updates, but for the error that each choice states.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest

from atoll.channel import world
from atoll.channel.party import Party
from atoll.core.errors import AtollError
from atoll.core.names import Role
from atoll.learning.horizontal.algorithm import Algorithm, ClientWork, State
from atoll.learning.horizontal.algorithms.fedavg import FedAvg
from atoll.learning.horizontal.algorithms.fednova import FedNova
from atoll.learning.horizontal.algorithms.fedsgd import FedSGD
from atoll.learning.horizontal.algorithms.personal import Ditto
from atoll.learning.horizontal.algorithms.qfedavg import QFedAvg
from atoll.learning.horizontal.algorithms.scaffold import Scaffold
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.postprocess.api import Passage, Postprocessor, Stage
from atoll.learning.horizontal.postprocess.chain import Chain, RoundRandom
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.compress import Quantise, RandomK, TopK
from atoll.learning.horizontal.postprocess.down_link import DownLink
from atoll.learning.horizontal.postprocess.mask import Mask, flatten, parts_of, unflatten
from atoll.learning.horizontal.postprocess.noise import (
    CentralNoise,
    DistributedNoise,
    LocalNoise,
    Noise,
)
from atoll.learning.horizontal.postprocess.power_sgd import PowerSGD
from atoll.learning.horizontal.postprocess.rotate import Rotate
from atoll.learning.horizontal.postprocess.shared_scale import SharedScale
from atoll.learning.horizontal.server import ServerStep
from atoll.learning.horizontal.simulation import seeded_noise
from atoll.learning.horizontal.sums import Update, total
from atoll.operators import secure_sum
from atoll.operators.secure_sum import SumInputs
from tests.learning.horizontal.covering import Row, covering, pairs_of
from tests.learning.horizontal.tasks import PUBLIC, blobs, simulated

CLIENTS, NORM, MULTIPLIER, PLACES = 30, 2.0, 1.5, 20
MODEL = Linear(12, Softmax(5))
SIZE = MODEL.layout.size
DATA = blobs(CLIENTS, 400, 5.0)
SEEDED = seeded_noise(b"covering tests")
LOCAL = LocalTraining(learning_rate=0.05, batch_size=10)
FIT = {"local": LOCAL, "weighting": "equal"}

ALGORITHMS: dict[str, Algorithm] = {
    "fedavg": FedAvg.model_validate(FIT),
    "fedprox": FedAvg.model_validate({**FIT, "proximal": 0.1}),
    "fedadam": FedAvg.model_validate({**FIT, "server": ServerStep(method="adam", rate=0.01)}),
    "fedsgd": FedSGD(),
    "scaffold": Scaffold.model_validate(FIT),
    "fednova": FedNova.model_validate(FIT),
    "qfedavg": QFedAvg(local=LOCAL),
    "ditto": Ditto.model_validate({**FIT, "own": LOCAL}),
}
COMPRESSIONS = (
    "whole", "random-k", "rotation", "shared scale", "top-k", "quantised", "power", "down-link",
)  # fmt: skip
SUMS = ("plain", "complete", "sparse")
NOISES = ("quiet", "central", "local", "distributed")
FACTORS = (tuple(ALGORITHMS), COMPRESSIONS, SUMS, NOISES)
# Vectors of an update, and its numbers that are the same at each client.
VECTORS = {"fedsgd": ("gradient",), "scaffold": ("change", "control")}
CONSTANTS = {"scaffold": {"weight": 1.0, "count": 1.0, "clients": float(CLIENTS)}}


def refusal(row: Row) -> str | None:
    """Return the code with which a combination must be refused: what PROTOCOLS 9 and 10 state."""
    algorithm, compression, sum_, noise = row
    own_choice = compression in {"top-k", "quantised"}
    if own_choice and (sum_ != "plain" or noise != "quiet"):
        return "ATL-HOR-050"
    if compression == "shared scale" and (sum_ == "plain" or noise != "quiet"):
        return "ATL-HOR-050"
    if noise == "distributed" and sum_ == "plain":
        return "ATL-HOR-050"
    if noise != "quiet" and algorithm in {"fedsgd", "fednova", "qfedavg"}:
        # Rows, steps and losses of a client stand beside the vectors, without noise.
        return "ATL-HOR-071"
    return None


ACCEPTED = covering(FACTORS, lambda row: refusal(row) is None)
REFUSED = covering(FACTORS, lambda row: refusal(row) is not None)


@dataclass(frozen=True)
class Setup:
    """The objects of one combination."""

    algorithm: Algorithm
    chain: Chain


def build(row: Row) -> Setup:
    name, compression, sum_, noise = row
    algorithm, links = ALGORITHMS[name], list[Postprocessor]()
    if compression == "power":
        vectors = VECTORS.get(name, ("change",))
        algorithm = PowerSGD(algorithm=algorithm, arrays=MODEL.layout.arrays, vectors=vectors)
    if compression == "down-link":
        algorithm = DownLink(algorithm=algorithm, coder=Quantise(width=4))
    if noise != "quiet" or compression == "shared scale":
        links.append(Clip(norm=NORM))
    match compression:
        case "random-k":
            links.append(RandomK(share=0.5))
        case "rotation":
            links.append(Rotate())
        case "shared scale":
            reach = Rotate().reach(NORM, SIZE)
            links += [Rotate(), SharedScale(width=8, reach=reach, clients=CLIENTS)]
        case "top-k":
            links.append(TopK(share=0.25))
        case "quantised":
            links.append(Quantise(width=4))
    if noise != "quiet":
        links.append(_noise(noise, CONSTANTS.get(name, {"weight": 1.0})))
    if sum_ != "plain":
        shared = [link for link in links if isinstance(link, SharedScale)]
        unit = None if noise == "quiet" else 2.0**-PLACES
        links.append(
            shared[0].mask() if shared else Mask(bound=1e4, clients=CLIENTS, ring=64, unit=unit)
        )
    return Setup(algorithm, Chain(tuple(links)))


def _noise(kind: str, constants: dict[str, float]) -> Noise:
    common = {
        "norm": NORM,
        "multiplier": MULTIPLIER,
        "clients": CLIENTS,
        "places": PLACES,
        "constants": constants,
    }
    if kind == "distributed":
        return DistributedNoise.model_validate({**common, "honest": CLIENTS})
    return (CentralNoise if kind == "central" else LocalNoise).model_validate(common)


def _passage(number: int) -> Passage:
    own = PUBLIC.generator(f"client {number}", 0, "training")
    secret = SEEDED(0, number)
    return Passage(RoundRandom(PUBLIC, 0), own, secret=secret)


@dataclass
class ClientRound:
    """One client's round: its update, what left it, and what it carries over."""

    made: Update
    sent: Update
    passage: Passage


def turn(setup: Setup, state: State, number: int) -> ClientRound:
    passage, message = _passage(number), setup.algorithm.message(state)
    work = ClientWork(MODEL, message, {}, DATA[number], passage.own, CLIENTS)
    made = setup.algorithm.client(work).update
    return ClientRound(made, setup.chain.client(made, passage), passage)


def start(setup: Setup) -> State:
    return setup.algorithm.start(np.full(SIZE, 0.01))


def securely(chain: Chain, sent: list[Update], graph: str) -> Update:
    """Return the sum that the secure sum opens between parties."""
    mask, parts = chain.links[-1], parts_of(sent[0])
    assert isinstance(mask, Mask)
    # With few clients a sparse graph is sound where none of them colludes or leaves.
    share = {"graph": graph, "corrupt": 0.0, "leave": 0.0, "stay": 1.0}
    parameters = mask.parameters(parts).model_copy(update=share)
    assert parameters.graph_of(CLIENTS).sparse == (graph == "sparse")
    names = [f"c{at:02d}" for at in range(CLIENTS)]
    vectors = {name: flatten(update, parts) for name, update in zip(names, sent, strict=True)}
    roles = {"hub": Role.AGGREGATOR, **dict.fromkeys(names, Role.CLIENT)}

    def role(party: Party) -> Update | None:
        inputs = SumInputs(vectors.get(party.name), party.identities)
        units = secure_sum.run(party, inputs, parameters).units
        return None if units is None else unflatten(units, parts)

    found: Update = world.run(roles, role, seed=1).check().results["hub"]
    return found


def whole(update: Update) -> np.ndarray:
    return np.concatenate([np.asarray(v, float) for _, v in sorted(update.vectors.items())])


def expected(setup: Setup, turns: list[ClientRound]) -> Update:
    """Return the sum of what clients made, clipped, as linear compression passes it."""
    clip = Chain(tuple(link for link in setup.chain.links if link.stage == Stage.CLIP))
    added = total(clip.client(t.made, _passage(0)) for t in turns)
    assert added is not None
    vectors = dict(added.vectors)
    for t in turns:
        for name, vector in t.passage.kept.items():
            vectors[name.removeprefix("left out.")] = (
                vectors[name.removeprefix("left out.")] - vector
            )
    added = Update(vectors, added.numbers)
    draws = [link for link in setup.chain.links if isinstance(link, RandomK)]
    chain = Chain(tuple(draws))
    return chain.aggregate(chain.client(added, _passage(0)), SIZE, _passage(0))


def rounding(row: Row, setup: Setup, turns: list[ClientRound]) -> float:
    """Return the L2 error that compression and grids state for the sum."""
    error = 1e-6
    values = math.sqrt(sum(len(v) for v in turns[0].made.vectors.values()))
    for link in setup.chain.links:
        if isinstance(link, SharedScale):
            error += CLIENTS * link.step * values * 1.1
        if isinstance(link, Quantise):
            scales = [np.abs(v).max() for t in turns for v in t.made.vectors.values()]
            error += 2 * sum(scales) / (2**link.width - 1) * values
        if isinstance(link, Mask):
            error += CLIENTS * values / link.form().scale
        if isinstance(link, Noise):
            # The grid, and the norm that random rounding is kept within.
            error += 2 * CLIENTS * (values * 2.0**-PLACES + NORM * 1e-4)
    return error


@pytest.mark.parametrize("row", ACCEPTED, ids=", ".join)
def test_what_stands_together_is_exact_or_within_its_error(row: Row) -> None:
    setup = build(row)
    state = start(setup)
    turns = [turn(setup, state, number) for number in range(CLIENTS)]
    added = total(t.sent for t in turns)
    assert added is not None
    if row[2] != "plain":
        opened = securely(setup.chain, [t.sent for t in turns], row[2])
        for name, vector in added.vectors.items():
            assert opened.vectors[name].tobytes() == vector.tobytes()
        added = opened
    found = setup.chain.aggregate(added, SIZE, _passage(-1))
    wanted = expected(setup, turns)
    for name in wanted.numbers.keys() & found.numbers.keys() - {"clipped"}:
        assert found.numbers[name] == pytest.approx(wanted.numbers[name], abs=CLIENTS / 2**20)
    away, error = np.linalg.norm(whole(found) - whole(wanted)), rounding(row, setup, turns)
    if row[3] == "quiet":
        assert away <= error
    else:
        # A length of gaussian noise over 32 values or more is within 0.4 to 1.7 of its mean: five
        # deviations. What random-k leaves is scaled up with its noise.
        drawn = len(whole(wanted)) * (0.5 if row[1] == "random-k" else 1.0)
        gain = 2.0 if row[1] == "random-k" else 1.0
        deviation = MULTIPLIER * NORM * (math.sqrt(CLIENTS) if row[3] == "local" else 1.0)
        noise = gain * deviation * math.sqrt(drawn)
        assert 0.4 * noise - error < away < 1.7 * noise + error
    after = setup.algorithm.aggregate(state, found.check())
    assert np.isfinite(after.weights).all()
    assert not np.array_equal(after.weights, state.weights)


@pytest.mark.parametrize("row", ACCEPTED[::4], ids=", ".join)
def test_a_simulation_does_the_same(row: Row) -> None:
    setup = build(row)
    state = start(setup)
    added = total(turn(setup, state, number).sent for number in range(CLIENTS))
    assert added is not None
    clients = simulated(setup.algorithm, MODEL, DATA, threads=2)
    clients.chain, clients.secret = setup.chain, SEEDED
    answers = clients.ask(0, setup.algorithm.message(state), np.arange(CLIENTS))
    found = setup.chain.aggregate(added, SIZE, _passage(-1))
    assert answers.total is not None
    assert not answers.failures
    # Of floats the order of the sum shows in the last bits.
    assert np.allclose(whole(answers.total), whole(found), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("row", REFUSED, ids=", ".join)
def test_what_does_not_is_refused_with_the_reason(row: Row) -> None:
    # Plans are refused before anything is trained; only the kinds of numbers show in an update.
    if refusal(row) == "ATL-HOR-050":
        with pytest.raises(AtollError, match=r"ATL-HOR-050: these postprocessors .*: .{20}"):
            build(row)
        return
    setup = build(row)
    with pytest.raises(AtollError, match=r"ATL-HOR-071: '(rows|steps|scale)'"):
        turn(setup, start(setup), 0)


def test_all_combinations_are_refused_or_not_as_stated() -> None:
    for row in itertools.product(*FACTORS):
        if refusal(row) == "ATL-HOR-050":
            with pytest.raises(AtollError, match="ATL-HOR-050"):
                build(row)
        else:
            build(row)


def test_the_sets_cover_all_pairs() -> None:
    choices = [(at, choice) for at, factor in enumerate(FACTORS) for choice in factor]
    all_pairs = {
        (*one, *other) for one, other in itertools.combinations(choices, 2) if one[0] != other[0]
    }
    covered = pairs_of(ACCEPTED)
    assert covered | pairs_of(REFUSED) == all_pairs
    # Pairs that are only ever refused: each has a reason above.
    never = {tuple(sorted((p[1], p[3]))) for p in all_pairs - covered}
    noisy = ("central", "distributed", "local")
    assert never == {
        *(tuple(sorted((own, n))) for own in ("top-k", "quantised", "shared scale") for n in noisy),
        *(tuple(sorted((own, s))) for own in ("top-k", "quantised") for s in SUMS[1:]),
        *(tuple(sorted((a, n))) for a in ("fedsgd", "fednova", "qfedavg") for n in noisy),
        ("plain", "shared scale"),
        ("distributed", "plain"),
    }
    assert len(ACCEPTED) < 0.4 * math.prod(map(len, FACTORS))


def test_a_sparse_graph_of_few_clients_that_may_collude_is_refused() -> None:
    parameters = Mask(bound=1, clients=CLIENTS).parameters((("change", SIZE),))
    with pytest.raises(AtollError, match="ATL-SUM-018"):
        parameters.model_copy(update={"graph": "sparse"}).graph_of(CLIENTS)
