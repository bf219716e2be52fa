"""Chains: unbiased, bounded, in a sound order only, and the same bits everywhere."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.core.errors import AtollError
from atoll.learning.horizontal.algorithms.fedavg import CHANGE, FedAvg
from atoll.learning.horizontal.local import LocalTraining
from atoll.learning.horizontal.models.linear import Linear
from atoll.learning.horizontal.models.outputs import Softmax
from atoll.learning.horizontal.postprocess.api import Passage, Postprocessor, Stage
from atoll.learning.horizontal.postprocess.chain import Chain, RoundRandom
from atoll.learning.horizontal.postprocess.clip import CLIPPED, Clip, norm
from atoll.learning.horizontal.postprocess.compress import Quantise, RandomK, TopK
from atoll.learning.horizontal.sums import Update, total
from tests.learning.horizontal.tasks import PUBLIC, blobs, mean_loss, simulated, trained

LINKS: list[Postprocessor] = [
    RandomK(share=0.25),
    TopK(share=0.25),
    *(Quantise(width=width) for width in (1, 2, 4, 8)),
    Quantise(width=4, rounding="nearest", feedback=True),
]
MODEL = Linear(12, Softmax(5))
ALGORITHM = FedAvg(local=LocalTraining(learning_rate=0.05, batch_size=10))


class Mask(Postprocessor):
    """Stands where a secure sum stands."""

    stage = Stage.MASK

    def client(self, update: Update, passage: Passage) -> Update:
        return update


def _passage(round_: int = 0) -> Passage:
    return Passage(RoundRandom(PUBLIC, round_), np.random.default_rng(round_))


def _passed(chain: Chain, vectors: list[np.ndarray], round_: int = 0) -> np.ndarray:
    """Return the mean that the aggregator takes from these clients' vectors."""
    sent = [chain.client(Update({CHANGE: v}, {"weight": 1.0}), _passage(round_)) for v in vectors]
    added = total(sent)
    assert added is not None
    whole = chain.aggregate(added, len(vectors[0]), _passage(round_))
    return whole.vectors[CHANGE] / len(vectors)


@pytest.mark.parametrize("link", [RandomK(share=0.1), Quantise(width=1), Quantise(width=4)])
def test_the_mean_over_many_rounds_is_unbiased(link: Postprocessor) -> None:
    vector = np.random.default_rng(1).normal(size=300).astype(np.float32)
    rounds = 4000
    mean = sum(_passed(Chain((link,)), [vector], r).astype(float) for r in range(rounds)) / rounds
    # Of ten times a value with a chance of a tenth the deviation is three values.
    spread = np.abs(vector).max() * (3 if isinstance(link, RandomK) else 1)
    # Six standard deviations over 300 values: a false alarm in about 10^6 runs.
    assert np.abs(mean - vector).max() < 6 * spread / rounds**0.5


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
@settings(max_examples=50, deadline=None)
def test_a_clipped_update_is_never_longer(seed: int, most: float) -> None:
    generator = np.random.default_rng(seed)
    vectors = {n: (generator.normal(size=50) * 100).astype(np.float32) for n in ("a", "b")}
    clipped = Clip(norm=most).client(Update(vectors, {}), _passage())
    assert norm(clipped) <= most * (1 + 1e-6)
    assert clipped.numbers[CLIPPED] == (norm(Update(vectors, {})) > most)


@pytest.mark.parametrize("link", LINKS, ids=repr)
def test_what_is_compressed_still_trains_and_repeats(link: Postprocessor) -> None:
    data = blobs(12, 500, 1.0)
    before = mean_loss(MODEL, trained(ALGORITHM, MODEL, data, 0), data)
    states = []
    for threads in (1, 2):
        clients = simulated(ALGORITHM, MODEL, data, threads)
        carries = getattr(link, "feedback", False)
        clients.chain = Chain((link,) if carries else (Clip(norm=200), link))
        states.append(trained(ALGORITHM, MODEL, data, 15, clients=clients))
    assert mean_loss(MODEL, states[0], data) < 0.6 * before
    assert states[0].weights.tobytes() == states[1].weights.tobytes()


def test_what_top_k_leaves_out_is_sent_later() -> None:
    link, vector = TopK(share=0.01), np.arange(50.0, 150.0)
    passage = _passage()
    sent = sum(
        link.client(Update({CHANGE: vector}, {}), passage).vectors[CHANGE] for _ in range(300)
    )
    assert np.allclose(sent + passage.kept[f"left out.{CHANGE}"], 300 * vector)
    # Without feedback only the largest of 100 values would ever be sent.
    assert np.min(sent) > 0


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_codes_take_the_bytes_that_are_stated(width: Literal[1, 2, 4, 8]) -> None:
    link = Quantise(width=width, block=64)
    codes, scales = link.encode(
        np.random.default_rng(0).normal(size=1000), np.random.default_rng(1)
    )
    assert codes.max() < 1 << width
    travelling = -(-codes.size * width // 8) + scales.nbytes
    assert Chain((link,)).bytes(codes.size, 1) == travelling


@pytest.mark.parametrize(
    ("links", "why"),
    [
        ((RandomK(share=0.5), Clip(norm=1)), "has no bound"),
        ((TopK(share=0.5), Clip(norm=1)), "has no bound"),
        ((Clip(norm=1), TopK(share=0.5)), "after the clip"),
        ((TopK(share=0.5), Mask()), "cannot be masked"),
        ((Quantise(), Mask()), "cannot be masked"),
        ((Mask(), RandomK(share=0.5)), "compressed after"),
        ((Clip(norm=1), Quantise(feedback=True)), "after the clip"),
    ],
)
def test_an_order_that_is_not_sound_is_refused(links: tuple[Postprocessor, ...], why: str) -> None:
    with pytest.raises(AtollError, match="ATL-HOR-050") as refused:
        Chain(links)
    assert why in str(refused.value)
