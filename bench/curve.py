"""Curve kernels on one core beside OpenSSL's X25519, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from atoll.core.random import SecretRandom
from atoll.crypto.dh import DhScalar, hash_to_curve
from bench.harness import Options

POINTS = 1 << 15
ID_BYTES = 12


def measured(name: str, count: int, work: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """Return what ``work`` returns and its line; the rate is per processor second."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    spent = time.process_time() - processor
    line = {
        "name": f"curve.{name}",
        "params": {"points": count, "threads": 1},
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": spent,
        "rate": count / spent if spent else None,
    }
    return result, line


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield X25519 in a batch, hashing and masking of ids, hashing alone, and OpenSSL's X25519."""
    count = options.rows or POINTS
    values = np.random.default_rng(1).integers(0, 256, count * ID_BYTES).astype(np.uint8)
    offsets = np.arange(0, len(values) + 1, ID_BYTES, dtype=np.int64)
    scalar = DhScalar(SecretRandom())
    scalar.hash_and_mask(values[:ID_BYTES], offsets[:2], b"warm", 1)
    points, line = measured(
        "hash_and_mask", count, lambda: scalar.hash_and_mask(values, offsets, b"bench", 1)
    )
    yield line
    _, line = measured("hash_to_curve", count, lambda: hash_to_curve(values, offsets, b"bench", 1))
    yield line
    _, line = measured("x25519", count, lambda: scalar.mask(points, 1))
    yield line
    key, point = X25519PrivateKey.generate(), X25519PrivateKey.generate().public_key()
    some = max(1, min(count, POINTS // 4))
    _, line = measured(
        "x25519.reference", some, lambda: [key.exchange(point) for _ in range(some)] and None
    )
    yield line
