"""EC-ElGamal pairs on one core: encryption, addition in buckets, decryption.

Rates are pairs per second of processor time. A decrypted range is that of a node which holds all
rows, with g and h at scale 2^12.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from atoll.core.random import SecretRandom
from atoll.crypto.elgamal import PAIR_BYTES, PairSecretKey, PairVector
from bench.harness import Options

ROWS, COLUMNS, BINS = 100_000, 50, 32
SCALE_BITS = 12
MOST_DECRYPTED = 50_000

Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[Result, dict[str, float]]:
    """Run work once; wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - processor,
    }


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield histogram.encrypt, .parse, .add, .finish and .decrypt."""
    rows = options.rows or ROWS
    columns, bins = options.host_columns or COLUMNS, options.bins or BINS
    params = {"rows": rows, "columns": columns, "bins": bins, "threads": 1}
    scale = 2 ** min(SCALE_BITS, 31 - math.ceil(math.log2(max(rows, 2))))
    random, rng = SecretRandom(), np.random.default_rng(1)
    g = rng.integers(-scale, scale + 1, rows).astype(np.int32)
    h = rng.integers(0, scale // 4 + 1, rows).astype(np.int32)
    table = rng.integers(0, bins, (rows, columns)).astype(np.uint8)
    key = PairSecretKey.generate(random.bytes(32))
    public = key.public_key()

    def line(name: str, pairs: int, seconds: dict[str, float], **more: Any) -> dict[str, Any]:
        rate = pairs / seconds["cpu_seconds"] if seconds["cpu_seconds"] else None
        return {"name": f"histogram.{name}", "params": params, **seconds, "rate": rate, **more}

    sent, spent = timed(lambda: key.encrypt(g, h, random.bytes(32), 1))
    yield line("encrypt", rows, spent, bytes=rows * PAIR_BYTES)
    vector, spent = timed(lambda: PairVector.parse(sent, 1))
    yield line("parse", rows, spent)
    chosen = np.arange(rows, dtype=np.uint32)
    cells, spent = timed(lambda: vector.histogram(chosen, table, bins, 1))
    yield line("add", rows * columns, spent)
    finished, spent = timed(lambda: cells.finish(public, random.bytes(32), threads=1))
    yield line("finish", len(finished), spent, bytes=len(finished) * PAIR_BYTES)
    repeated = np.tile(finished, (-(-MOST_DECRYPTED // len(finished)), 1))[:MOST_DECRYPTED]
    bounds = (-scale * rows, scale * rows, 0, scale // 4 * rows)
    key.decrypt(finished[:1], *bounds, threads=1)  # makes the table of baby steps
    sums, spent = timed(lambda: key.decrypt(repeated, *bounds, threads=1))
    total = int(g.sum(dtype=np.int64))
    if any(int(part.sum()) != total for part in sums[0][: len(finished)].reshape(columns, bins)):
        raise RuntimeError("a histogram does not sum to the total")
    yield line("decrypt", len(repeated), spent)
