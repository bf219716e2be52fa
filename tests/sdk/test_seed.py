"""Whole jobs with a fixed seed: the same rows, trees, weights and scores in every run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atoll.components.catalogue import CATALOGUE
from atoll.sdk import Federation, Pipeline, local
from atoll.sdk.federation import Outcomes

ROWS = 240


def tables(hosts: tuple[str, ...]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return small whole numbers, and the same columns twice at each of the hosts."""
    rng = np.random.default_rng(13)
    x = rng.integers(0, 4, size=(ROWS, 2)).astype(float)
    y = (x.sum(axis=1) + rng.normal(size=ROWS) > 3).astype(float)
    ids = [f"r{at}" for at in range(ROWS)]
    mine = {"id": ids[: ROWS - 20], "b0": x[: ROWS - 20, 0] // 2, "y": y[: ROWS - 20]}
    found = {"bank": {"people": pa.table(mine)}}
    for host in hosts:
        columns = {f"{host}{at}": x[20:, at % 2] for at in range(4)}
        found[host] = {"people": pa.table({"id": ids[20:], **columns})}
    return found


def pipeline(
    hosts: tuple[str, ...], implementation: str, seed: int | None, **boosting: Any
) -> Pipeline:
    p = Pipeline("tied", guest="bank", host=hosts, seed=seed)
    rows = p.reader(tables=dict.fromkeys(("bank", *hosts), "people"))
    parts = p.split(p.sample(p.psi(rows), fraction=0.9))
    chosen = {"trees": 3, "bins": 8, "row_sample": 0.8, **boosting}
    model = p.boosting(train=parts.train, implementation=implementation, **chosen)
    p.prediction(model.model, parts.test)
    return p


def opened(hosts: tuple[str, ...]) -> Federation:
    roles = {"bank": "guest", **dict.fromkeys(hosts, "host")}
    return local(roles, tables(hosts), catalogue=CATALOGUE)


def left(done: Outcomes) -> tuple[list[Any], set[str]]:
    """Return what a run left, without the model's id, and that id (all parties have one)."""
    found: list[Any] = []
    ids = set()
    for party, outcome in done.items():
        part = outcome.outputs["boosting.model"]
        ids.add(part.model)
        found.append(part.model_copy(update={"model": ""}))
        found += [(party, name, table.digest()) for name, table in sorted(outcome.tables.items())]
        for name, scores in sorted(outcome.scores.items()):
            found.append((party, name, scores.ids.to_pylist(), scores.score.tolist()))
    return found, ids


@pytest.mark.parametrize("implementation", ["ideal", "elgamal"])
@pytest.mark.parametrize("hosts", [("shop",), ("shop", "telco")])
def test_a_seed_repeats_rows_trees_weights_and_scores(
    implementation: str, hosts: tuple[str, ...]
) -> None:
    # Each run in a federation of its own: new keys, new folders, nothing kept.
    runs = []
    for _ in range(2):
        with opened(hosts) as federation:
            runs.append(left(federation.run(pipeline(hosts, implementation, 7))))
    (first, first_id), (second, second_id) = runs
    assert sum(first[0].host_splits) > 0
    assert first == second
    assert len(first_id) == len(second_id) == 1
    assert first_id != second_id


def test_rows_stay_while_the_boosting_is_tuned_and_change_with_the_seed() -> None:
    hosts = ("shop",)

    def rows(seed: int | None, **boosting: Any) -> tuple[str, ...]:
        done = federation.run(pipeline(hosts, "ideal", seed, **boosting))["bank"]
        names = ("sample.table", "split.train", "split.test")
        return tuple(done.tables[name].digest() for name in names)

    with opened(hosts) as federation:
        first = rows(7)
        assert rows(7, trees=1, depth=2) == first
        assert set(rows(8)).isdisjoint(first)
        tossed = [rows(None) for _ in range(2)]
        assert set(tossed[0]).isdisjoint(tossed[1])


def test_a_stratified_sample_stays_secret_and_does_not_repeat() -> None:
    def kept() -> str:
        p = Pipeline("drawn", guest="bank", host="shop", seed=7)
        rows = p.psi(p.reader(tables={"bank": "people", "shop": "people"}), protocol="ideal")
        p.sample(rows, method="stratified", fraction=0.5)
        return str(federation.run(p)["bank"].tables["sample.table"].digest())

    with opened(("shop",)) as federation:
        assert kept() != kept()


def test_the_plan_says_what_follows_from_the_seed() -> None:
    with opened(("shop",)) as federation:
        seeded, tossed = (federation.plan(pipeline(("shop",), "ideal", seed)) for seed in (7, None))
    assert seeded.job.seed == 7
    assert seeded.implementations["coin toss"] == "fixed"
    assert seeded.reveals["coin toss"] == ()
    (warning,) = set(seeded.warnings) - set(tossed.warnings)
    for part in ("coin toss: ", "seed 7", "Whoever wrote the job", "repeat", "link the cuts"):
        assert part in warning
