"""Means, deviations and quantiles of all clients' rows, without anyone seeing another's."""

from __future__ import annotations

import numpy as np
from common import public

from atoll.learning.horizontal.algorithm import State
from atoll.learning.horizontal.features import FeatureStep, Moments, Sketch, TableColumns, run_step
from atoll.learning.horizontal.local import ClientRows
from atoll.learning.horizontal.simulation import SimulatedClients


def summed(step: FeatureStep, tables: list[np.ndarray]) -> State:
    """Run a step of sums over the clients that hold these tables."""

    def rows(number: int) -> ClientRows:
        return ClientRows(tables[number], np.zeros(len(tables[number])))

    clients = SimulatedClients(step, TableColumns(3), len(tables), rows, public(1))
    return run_step(step, clients, 3, public(1))


def main() -> None:
    """Print both beside those of the pooled rows."""
    generator = np.random.default_rng(1)
    tables = [generator.lognormal(scale, 1.0, (500, 3)) for scale in (0.0, 0.5, 1.0, 2.0)]
    pooled = np.concatenate(tables)
    moments, sketch = Moments(), Sketch()
    described = moments.result(summed(moments, tables))
    median, width = sketch.result(summed(sketch, tables)).quantile(np.array([0.5]))
    print("mean     ", described.mean, "of the pooled rows", pooled.mean(axis=0))
    print("deviation", described.spread(), "of the pooled rows", pooled.std(axis=0, ddof=1))
    print("median   ", median[:, 0], "of the pooled rows", np.median(pooled, axis=0))
    print("  which is right within", width[:, 0])


if __name__ == "__main__":
    main()
