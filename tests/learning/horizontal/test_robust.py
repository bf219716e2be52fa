"""Robust rules: what a fifth of the clients send moves nothing, where it moves the mean."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithm import Algorithm, ClientResult, ClientWork
from atoll.learning.horizontal.algorithms.fedavg import CHANGE, WEIGHT, FedAvg
from atoll.learning.horizontal.algorithms.fednova import FedNova
from atoll.learning.horizontal.algorithms.fedsgd import FedSGD
from atoll.learning.horizontal.algorithms.scaffold import Scaffold
from atoll.learning.horizontal.local import ClientRows, LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.parties.parameters import HorizontalParameters
from atoll.learning.horizontal.postprocess.adaptive import AdaptiveClip
from atoll.learning.horizontal.postprocess.api import Postprocessor
from atoll.learning.horizontal.postprocess.chain import Chain
from atoll.learning.horizontal.postprocess.clip import Clip
from atoll.learning.horizontal.postprocess.compress import Quantise, RandomK, TopK
from atoll.learning.horizontal.postprocess.mask import Mask
from atoll.learning.horizontal.postprocess.noise import CentralNoise
from atoll.learning.horizontal.robust import (
    Krum,
    Median,
    Rule,
    RuleName,
    TrimmedMean,
    rule_named,
)
from atoll.learning.horizontal.simulation import SimulatedClients
from atoll.learning.horizontal.sums import Update, total
from tests.learning.horizontal.tasks import PUBLIC, blobs, mean_loss, trained

RULES: dict[str, Rule] = {
    "median": Median(),
    "trimmed": TrimmedMean(share=0.2),
    "krum": Krum(share=0.2),
    "multi-krum": Krum(share=0.2, multi=True),
}
every = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
MODEL = Linear(12, Softmax(5))
LOCAL = LocalTraining(learning_rate=0.05, batch_size=10)


def update(vector: np.ndarray, weight: float = 1.0, **numbers: float) -> Update:
    return Update({CHANGE: vector * vector.dtype.type(weight)}, {WEIGHT: weight, **numbers})


def combined(rule: Rule, updates: list[Update]) -> np.ndarray:
    found = rule.combine(updates, WEIGHT)
    assert found is not None
    assert found.numbers[WEIGHT] == 1
    return found.vectors[CHANGE]


def honest(seed: int, clients: int, values: int = 300) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    centre = generator.normal(size=values)
    return [(centre + 0.1 * generator.normal(size=values)).astype("f4") for _ in range(clients)]


Lie = Callable[[np.ndarray, np.random.Generator], np.ndarray]
LIES: dict[str, Lie] = {
    "flipped": lambda v, _: -20 * v,
    "noise": lambda v, g: (1e3 * g.normal(size=len(v))).astype(v.dtype),
    "scaled": lambda v, _: 1e6 * v,
    "huge": lambda v, _: np.full_like(v, np.finfo(v.dtype).max / 2),
}
lies = pytest.mark.parametrize("lie", LIES.values(), ids=LIES)


@every
@lies
@pytest.mark.parametrize("clients", [10, 11, 20])
def test_what_a_fifth_send_stays_without_effect(rule: Rule, lie: Lie, clients: int) -> None:
    vectors = honest(clients, clients)
    mean, spread = np.mean(vectors, axis=0), 0.5
    generator, liars = np.random.default_rng(5), clients // 5
    sent = [lie(v, generator) if at < liars else v for at, v in enumerate(vectors)]
    updates = [update(vector) for vector in sent]
    assert rule.tolerates(clients) >= liars
    assert np.abs(combined(rule, updates) - mean).max() < spread
    with np.errstate(over="ignore"):
        plain = total(updates)
    assert plain is not None
    assert not np.abs(plain.vectors[CHANGE] / clients - mean).max() < 4 * spread


def test_beyond_its_breakdown_point_a_rule_breaks() -> None:
    vectors = honest(1, 11)
    for rule in RULES.values():
        liars = rule.tolerates(11) + 1 + (3 if isinstance(rule, Krum) else 0)
        sent = [np.full_like(v, 1e3) if at < liars else v for at, v in enumerate(vectors)]
        found = combined(rule, [update(vector) for vector in sent])
        assert np.abs(found).max() > 50, rule


@pytest.mark.parametrize(
    ("rule", "clients", "most"),
    [
        (Median(), 9, 4),
        (Median(), 10, 4),
        (TrimmedMean(share=0.1), 30, 3),
        (TrimmedMean(share=0.1), 31, 4),
        (TrimmedMean(share=0.4), 2, 0),
        (TrimmedMean(share=0), 10, 0),
        (Krum(share=0.3), 10, 3),
        (Krum(share=0.4), 10, 0),
    ],
)
def test_breakdown_points(rule: Rule, clients: int, most: int) -> None:
    assert rule.tolerates(clients) == most


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_mean_that_trims_nothing_is_the_mean(dtype: str) -> None:
    vectors = [vector.astype(dtype) for vector in honest(3, 7)]
    found = combined(TrimmedMean(share=0), [update(vector) for vector in vectors])
    exact = np.mean(np.array(vectors, dtype=np.float64), axis=0)
    assert found.dtype == dtype
    assert np.abs(found - exact).max() < (1e-12 if dtype == "f8" else 1e-6)


@pytest.mark.parametrize("values", [1, 7, 70_000])
def test_rules_give_what_their_definitions_say(values: int) -> None:
    """Over blocks as over whole vectors: 70,000 values of 11 clients take two."""
    table = np.array(honest(2, 11, values), dtype=np.float64)
    updates = [update(vector) for vector in table]
    ordered = np.sort(table, axis=0)
    assert np.array_equal(combined(Median(), updates), ordered[5])
    assert np.allclose(combined(Median(), updates[:10]), np.median(table[:10], axis=0))
    assert np.allclose(combined(TrimmedMean(share=0.2), updates), ordered[3:8].mean(axis=0))
    away = ((table[:, None, :] - table[None]) ** 2).sum(axis=2)
    scores = np.sort(away, axis=1)[:, 1:7].sum(axis=1)
    best = np.argsort(scores)
    assert np.allclose(combined(RULES["krum"], updates), table[best[0]])
    assert np.allclose(combined(RULES["multi-krum"], updates), table[best[:6]].mean(axis=0))


@every
def test_the_order_of_clients_changes_no_bit(rule: Rule) -> None:
    vectors = honest(4, 12)
    # Copies tie for the best score.
    vectors[5], vectors[9] = vectors[0], vectors[1]
    updates = [update(v, float(at % 3 + 1), seen=0.1 * at) for at, v in enumerate(vectors)]
    first = rule.combine(updates, WEIGHT)
    assert first is not None
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(12)
        other = rule.combine([updates[at] for at in order], WEIGHT)
        assert other is not None
        assert other.vectors[CHANGE].tobytes() == first.vectors[CHANGE].tobytes()
        assert other.numbers == first.numbers


def test_of_two_that_are_nearest_to_each_other_the_order_chooses_none() -> None:
    """With three clients the best scores are two equal distances."""
    vectors = [np.array([value], dtype="f4") for value in (1.0, 1.25, 9.0)]
    rule = Krum(share=0)
    found = {
        float(combined(rule, [update(vectors[at]) for at in order])[0])
        for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0))
    }
    assert len(found) == 1
    assert found <= {1.0, 1.25}


@every
def test_a_stated_weight_counts_for_nothing(rule: Rule) -> None:
    vectors = honest(6, 10)
    equal = combined(rule, [update(vector) for vector in vectors])
    stated = [update(v, 2.0 ** (at * 3)) for at, v in enumerate(vectors)]
    assert np.allclose(combined(rule, stated), equal, rtol=1e-6)
    for weight in (0.0, -1.0, 1e300):
        spoilt = Update({CHANGE: 1e6 * vectors[0]}, {WEIGHT: weight})
        assert np.array_equal(combined(rule, [spoilt, *map(update, vectors)]), equal)


@every
def test_a_figure_that_is_no_number_of_rows_leaves_its_client_out(rule: Rule) -> None:
    vectors = honest(6, 10)
    spoilt = update(vectors[0], loss=-1e308)
    updates = [spoilt, spoilt, *(update(v, loss=2.0) for v in vectors)]
    found = rule.combine(updates, WEIGHT)
    assert found is not None
    assert found.numbers["loss"] == 20


@pytest.mark.parametrize("rule", [RULES["trimmed"], RULES["krum"]], ids=["trimmed", "krum"])
def test_too_few_updates_are_no_round(rule: Rule) -> None:
    assert rule.combine([update(v) for v in honest(1, 2)], WEIGHT) is None
    assert rule.combine([], WEIGHT) is None
    assert rule.combine([update(honest(1, 1)[0], 0.0)] * 9, WEIGHT) is None


@every
def test_little_more_is_held_than_the_updates(rule: Rule) -> None:
    updates = [update(vector) for vector in honest(1, 10, 1_000_000)]
    tracemalloc.start()
    combined(rule, updates)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The result takes 4 MB, a block 4 MB and its copies; the updates 40 MB.
    assert peak < 20e6


@dataclass(frozen=True)
class Lying(ClientRows):
    """Rows of a client that lies."""

    lie: Lie
    weight: float = 1.0


class Lied(FedAvg):
    """FedAvg, with clients that lie about their change, and about their rows."""

    def client(self, work: ClientWork) -> ClientResult:
        result = super().client(work)
        if not isinstance(work.data, Lying):
            return result
        change = work.data.lie(result.update.vectors[CHANGE], work.generator)
        rows = result.update.numbers[WEIGHT] * work.data.weight
        made = Update({CHANGE: change * work.data.weight}, {WEIGHT: rows})
        return ClientResult(made)


def _loss(rule: Rule | None, data: list[ClientRows], *links: Postprocessor) -> float:
    algorithm = Lied(local=LOCAL)
    clients = SimulatedClients(
        algorithm, MODEL, len(data), data.__getitem__, PUBLIC, 2, Chain(links), rule=rule
    )
    state = trained(algorithm, MODEL, data, 8, clients=clients)
    return mean_loss(MODEL, state, [part for part in data if not isinstance(part, Lying)])


@pytest.mark.parametrize("name", ["flipped", "noise", "scaled"])
def test_training_survives_a_fifth_of_poisoned_clients(name: str) -> None:
    parts = blobs(10, 1500, 10.0)
    data = [Lying(p.rows, p.targets, LIES[name], 1e3) if i < 2 else p for i, p in enumerate(parts)]
    alone = _loss(None, list(data[2:]))
    start = np.log(5)
    assert alone < 0.4 * start
    assert not _loss(None, data) < 4 * start
    for rule in RULES.values():
        assert _loss(rule, data) < 1.25 * alone + 0.02, rule


@every
@pytest.mark.parametrize(
    "link", [RandomK(share=0.5), Quantise(width=8), Clip(norm=300.0)], ids=repr
)
def test_rules_work_on_compressed_updates(rule: Rule, link: Postprocessor) -> None:
    parts = blobs(10, 1000, 10.0)
    data = [Lying(p.rows, p.targets, LIES["flipped"]) if i < 2 else p for i, p in enumerate(parts)]
    assert _loss(rule, data, link) < 0.5 * np.log(5)


def test_a_round_of_too_few_changes_nothing() -> None:
    data = blobs(4, 300, 10.0)
    clients = SimulatedClients(
        FedAvg(local=LOCAL), MODEL, 4, data.__getitem__, PUBLIC, rule=Krum(share=0.2)
    )
    with pytest.raises(AtollError, match="ATL-HOR-032"):
        trained(FedAvg(local=LOCAL), MODEL, data, 2, clients=clients)


@pytest.mark.parametrize(
    ("algorithm", "links", "code"),
    [
        (FedAvg(), (Mask(bound=1, clients=5),), "ATL-HOR-110"),
        (FedAvg(), (Clip(norm=1), CentralNoise(norm=1, multiplier=1, clients=5)), "ATL-HOR-110"),
        (FedAvg(), (TopK(share=0.1),), "ATL-HOR-110"),
        (Scaffold(), (), "ATL-HOR-109"),
        (FedNova(), (), "ATL-HOR-109"),
        (AdaptiveClip(algorithm=FedAvg(), clients=5), (), "ATL-HOR-109"),
    ],
)
def test_what_needs_a_sum_is_refused(
    algorithm: Algorithm, links: tuple[Postprocessor, ...], code: str
) -> None:
    def made(chain: Chain) -> SimulatedClients:
        return SimulatedClients(
            algorithm, MODEL, 5, blobs(5, 50, 1.0).__getitem__, PUBLIC, 1, chain, rule=Median()
        )

    with pytest.raises(AtollError, match=code):
        made(Chain(links))
    if code == "ATL-HOR-110":
        late = made(Chain())
        late.chain = Chain(links)
        with pytest.raises(AtollError, match=code):
            late.ask(0, {"weights": np.zeros(MODEL.layout.size)}, np.arange(5))


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        ({}, "ATL-HOR-110"),
        ({"sum": "plain", "algorithm": "scaffold"}, "ATL-HOR-109"),
        ({"sum": "plain", "poisoned": 0.4}, "ATL-HOR-111"),
        ({"sum": "plain", "minimum_clients": 4}, "ATL-HOR-111"),
    ],
)
def test_a_plan_refuses_what_does_not_fit(chosen: dict[str, Any], code: str) -> None:
    parameters = HorizontalParameters(rule="krum", **{"minimum_clients": 5, **chosen})
    with pytest.raises(AtollError, match=code):
        parameters.combine(parameters.chain(parameters.mask(10, 100)), 10)


@pytest.mark.parametrize(
    ("name", "most"), [("median", 3), ("trimmed_mean", 2), ("krum", 2), ("multi_krum", 2)]
)
def test_a_plan_states_how_many_may_lie(name: RuleName, most: int) -> None:
    parameters = HorizontalParameters(rule=name, sum="plain", minimum_clients=8)
    assert f"withstands {most} lying clients" in parameters.rule_notes(20)[0]
    assert not HorizontalParameters().rule_notes(20)


@pytest.mark.parametrize("name", ["mean", "median", "trimmed_mean", "krum", "multi_krum"])
def test_rules_by_name(name: RuleName) -> None:
    found = rule_named(name, 0.1)
    assert (found is None) == (name == "mean")
    assert getattr(found, "share", 0.1) == 0.1
    assert getattr(found, "multi", False) == (name == "multi_krum")


def test_fedsgd_by_the_median_trains() -> None:
    data = blobs(7, 600, 10.0)
    algorithm = FedSGD(learning_rate=0.5)
    clients = SimulatedClients(algorithm, MODEL, 7, data.__getitem__, PUBLIC, rule=Median())
    state = trained(algorithm, MODEL, data, 20, clients=clients)
    assert mean_loss(MODEL, state, data) < 0.5 * np.log(5)
