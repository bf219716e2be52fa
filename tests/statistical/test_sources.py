"""What is drawn follows its distribution: with a seed in every run, afresh in a drill."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from atoll.core.random import PublicRandom, SecretRandom
from atoll.crypto.dh import DhScalar, hash_to_curve
from atoll.learning.features.sampling import at_random, stratified
from atoll.learning.vertical.boosting.sampling import candidate_order, sample_columns, sample_rows
from atoll.operators.coin_toss.commit.core import Toss
from atoll.operators.psi.api import tag_bytes
from atoll.operators.psi.ecdh.messages import Points, Tags
from atoll.privacy.discrete_gaussian import MOST_SIGMA, DiscreteGaussian
from tests.protocols.test_psi import bodies, ids, intersect, parameters, points_of
from tests.statistical import checks
from tests.statistical.checks import draws_for, draws_for_cells

Ints = npt.NDArray[np.int64]


@pytest.fixture(params=["seeded", pytest.param("fresh", marks=pytest.mark.drill)])
def seed(request: pytest.FixtureRequest) -> int | None:
    """The seed of everything secret; None in a drill: the operating system's randomness."""
    return 20300102 if request.param == "seeded" else None


@pytest.fixture
def secret(seed: int | None) -> SecretRandom:
    return SecretRandom() if seed is None else SecretRandom.seeded(seed)


# -- the sources ----------------------------------------------------------------------------------


def test_bytes_and_streams_are_even(secret: SecretRandom) -> None:
    draws = draws_for(0.05)
    for data in (secret.stream(16 * draws), b"".join(secret.bytes(16) for _ in range(draws))):
        blocks = np.frombuffer(data, dtype=np.uint8).reshape(draws, 16)
        checks.columns(np.unpackbits(blocks, axis=1))
        checks.chi_square(np.bincount(blocks.ravel(), minlength=256), np.full(256, 1 / 256))


def test_a_secret_permutation_is_uniform(secret: SecretRandom) -> None:
    checks.permutations(
        np.stack([secret.permutation(8) for _ in range(draws_for(0.1))]).astype(np.int64)
    )
    every_order(lambda: secret.permutation(4), 4)


def test_choices_of_rows_and_columns_are_uniform(secret: SecretRandom) -> None:
    """The seed is tossed; rows and samples follow from it, columns from a seed of the party's."""
    draws = draws_for(0.08)
    counts = np.zeros((3, 10), dtype=np.int64)
    for _ in range(draws):
        public = PublicRandom(secret.bytes(32))
        counts[0][at_random(10, 3, public.generator("s", 0, "sample"))] += 1
        counts[1][sample_rows(public, "s", 0, 10, 0.3)] += 1
        counts[2][sample_columns(secret.bytes(32), 0, 10, 0.3)] += 1
    for count in counts.ravel().tolist():
        checks.binomial(count, draws, 0.3, checks.ALPHA / counts.size)


def test_a_stratified_choice_is_uniform_and_tells_no_label(secret: SecretRandom) -> None:
    """With equal shares a chosen row is as likely of one class as of the other."""
    label = np.array([0.0, 1.0, 0.0] * 40)
    draws = draws_for(0.1)
    counts = np.zeros(len(label), dtype=np.int64)
    for _ in range(draws):
        counts[stratified(label, secret, fraction=0.45)] += 1
    for count in counts.tolist():
        checks.binomial(count, draws, 0.45, checks.ALPHA / len(label))


def every_order(draw: Callable[[], Any], size: int) -> None:
    """Count each of all orders of a few."""
    number = {order: at for at, order in enumerate(itertools.permutations(range(size)))}
    draws = draws_for_cells(1 / len(number))
    counts = np.bincount([number[tuple(draw().tolist())] for _ in range(draws)], minlength=24)
    checks.chi_square(counts, np.full(len(number), 1 / len(number)))


# -- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [1, 2, 7, 100])
def test_each_value_of_the_noise_is_as_likely_as_the_formula_says(
    sigma: int, secret: SecretRandom
) -> None:
    values, chances = checks.gaussian_chances(sigma, 40 * sigma)
    draws = draws_for(0.02)
    drawn = DiscreteGaussian(sigma, secret).sample(draws)
    common = draws * chances >= checks.CELL
    seen = np.array([np.count_nonzero(drawn == value) for value in values[common]])
    # All rare values are one more cell.
    rest = 1 - chances[common].sum()
    if draws * rest >= checks.CELL:
        seen, cells = np.append(seen, draws - seen.sum()), np.append(chances[common], rest)
    else:
        checks.binomial(int(draws - seen.sum()), draws, float(rest), checks.ALPHA / 2)
        cells = chances[common] / chances[common].sum()
    checks.chi_square(seen, cells, checks.ALPHA / 2)


@pytest.mark.parametrize("sigma", [1, 7, 100, 4096, MOST_SIGMA])
def test_the_noise_has_the_distribution_function_of_the_formula(
    sigma: int, secret: SecretRandom
) -> None:
    values, chances = checks.gaussian_chances(sigma, 12 * sigma)
    drawn = DiscreteGaussian(sigma, secret).sample(draws_for(0.02))
    checks.distribution(drawn, values.astype(np.float64), np.cumsum(chances))
    # Wide tails would hide under the band.
    for reach in (2, 3):
        beyond = float(chances[np.abs(values) > reach * sigma].sum())
        checks.binomial(int((np.abs(drawn) > reach * sigma).sum()), len(drawn), beyond)


# -- protocols ------------------------------------------------------------------------------------


def test_a_hosts_order_of_cuts_is_uniform(secret: SecretRandom) -> None:
    """Over seeds, and over the trees of one seed."""
    draws = draws_for(0.1)
    checks.permutations(np.stack([candidate_order(secret.bytes(32), 0, 8) for _ in range(draws)]))
    one = secret.bytes(32)
    checks.permutations(np.stack([candidate_order(one, tree, 8) for tree in range(draws)]))
    every_order(lambda: candidate_order(secret.bytes(32), 3, 4), 4)
    long = [candidate_order(one, tree, 2000) for tree in range(2)]
    checks.unrelated(np.argsort(long[0]), np.argsort(long[1]))


def test_a_toss_is_even_as_long_as_one_party_is_honest(secret: SecretRandom) -> None:
    tossed = []
    for _ in range(draws_for(0.2)):
        # The others always say the same.
        parties = {"bank": bytes(64), "mill": b"\xff" * 64, "shop": secret.bytes(64)}
        tosses = {name: Toss(b"session", name, entropy) for name, entropy in parties.items()}
        for act in ("commit", "open"):
            answers = {name: getattr(toss, act)() for name, toss in tosses.items()}
            for receiver, toss in tosses.items():
                for sender in tosses.keys() - {receiver}:
                    take = toss.committed if act == "commit" else toss.opened
                    take(sender, answers[sender])
        (seed,) = {toss.seed() for toss in tosses.values()}
        tossed.append(np.frombuffer(seed, dtype=np.uint8))
    checks.columns(np.unpackbits(np.stack(tossed), axis=1))


def curve_bits(points: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the bits of coordinates below 2^255 - 19 that are even but for 2^-100."""
    return np.unpackbits(points, axis=1, bitorder="little")[:, : min(254, 8 * points.shape[1])]


def numbers(count: int) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Return the ids "0", "1", … as bytes and offsets."""
    held = [str(at).encode() for at in range(count)]
    offsets = np.cumsum([0, *(len(one) for one in held)])
    return np.frombuffer(b"".join(held), dtype=np.uint8), offsets.astype(np.int64)


def test_hashed_masked_and_cut_ids_are_even(secret: SecretRandom) -> None:
    """Ids that only count up leave nothing of that in points or tags."""
    count = draws_for(0.1)
    domain = b"statistical" + secret.bytes(16)
    checks.columns(curve_bits(hash_to_curve(*numbers(count), domain)))
    points = DhScalar(secret).hash_and_mask(*numbers(count), domain)
    checks.columns(curve_bits(points))
    width = tag_bytes(count, count)
    checks.columns(curve_bits(DhScalar(secret).mask(points)))
    tags = DhScalar(secret).mask_and_hash(points, secret.bytes(64))[:, :width]
    assert tags.shape == (count, width)
    checks.chi_square(np.bincount(tags.ravel(), minlength=256), np.full(256, 1 / 256))


def test_what_an_intersection_sends_looks_uniform(seed: int | None) -> None:
    rows = draws_for(0.2)
    world = intersect(ids(range(rows)), ids(range(rows)), parameters(), record=True, seed=seed)
    world.check()
    checks.columns(curve_bits(points_of(world, "bank")))
    checks.columns(curve_bits(np.concatenate([m.tags for m in bodies(world, "bank", Tags)])))


def test_tags_come_back_in_another_order(seed: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the list returned in order, its tags would follow the order in which points came."""
    made: dict[bytes, list[bytes]] = {}
    real = DhScalar.mask_and_hash

    def kept(self: DhScalar, points: Any, label: bytes, threads: int = 0) -> Any:
        hashed = real(self, points, label, threads)
        for point, row in zip(points, hashed, strict=True):
            made[bytes(point)] = [bytes(row[:16]), bytes(row[16:])]
        return hashed

    monkeypatch.setattr(DhScalar, "mask_and_hash", kept)
    world = intersect(ids(range(400)), ids(range(400)), parameters(), record=True, seed=seed)
    world.check()
    for party, half in (("bank", 0), ("shop", 1)):
        points = [bytes(p) for m in bodies(world, party, Points, "received") for p in m.points]
        sent = [bytes(t) for m in bodies(world, party, Tags) for t in m.tags]
        width = len(sent[0])
        at = {made[point][half][:width]: position for position, point in enumerate(points)}
        assert set(sent) == at.keys()
        checks.unrelated(np.arange(400), [at[tag] for tag in sent])
