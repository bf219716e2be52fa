"""Paillier's encryption on one core beside the definition in Python's integers, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from atoll.core.random import SecretRandom
from atoll.crypto.he.paillier import SIZES, PaillierPublicKey, PaillierSecretKey
from bench.harness import Options

VALUES = 1 << 12
WEIGHT_BYTES = 2
COLUMNS = 8


def measured(
    name: str, bits: int, count: int, work: Callable[[], Any]
) -> tuple[Any, dict[str, Any]]:
    """Return what ``work`` returns and its line; the rate is per processor second."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    spent = time.process_time() - processor
    line = {
        "name": f"he.paillier.{name}",
        "params": {"bits": bits, "count": count, "threads": 1},
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": spent,
        "rate": count / spent if spent else None,
    }
    return result, line


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield, per size of n: key, proof, encryption, addition, weighted sums, decryption."""
    for bits in SIZES[:2]:
        yield from paillier(bits, options.rows or VALUES)


def paillier(bits: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of one size."""
    random = SecretRandom()
    key, line = measured("key", bits, 1, lambda: PaillierSecretKey.generate(bits, random.bytes(32)))
    yield line
    context, n = b"bench", key.public_bytes()
    proof, line = measured("prove", bits, 1, lambda: key.prove_valid(context, random.bytes(32)))
    yield line
    public, line = measured(
        "verify",
        bits,
        1,
        lambda: PaillierPublicKey.from_peer(n, proof, context, random.bytes(32), bits),
    )
    yield line
    values = np.random.default_rng(1).integers(-(1 << 30), 1 << 30, count)
    vector, line = measured(
        "encrypt", bits, count, lambda: public.encrypt(values, random.bytes(32), 1)
    )
    yield line
    repeats = 32
    _, line = measured(
        "add", bits, repeats * count, lambda: [vector.add(vector, 1) for _ in range(repeats)] and 0
    )
    yield line
    weights = np.random.default_rng(2).integers(-(1 << 15), 1 << 15, (count, COLUMNS))
    _, line = measured(
        "by_column", bits, weights.size, lambda: vector.by_column(weights, WEIGHT_BYTES, 1)
    )
    yield line
    few = public.encrypt(values[:COLUMNS], random.bytes(32), 1)
    _, line = measured("by_row", bits, weights.size, lambda: few.by_row(weights, WEIGHT_BYTES, 1))
    yield line
    rows = vector.to_bytes(1)[: max(1, count // 4)]
    _, line = measured("decrypt", bits, len(rows), lambda: key.decrypt(rows, 1))
    yield line
    yield from reference(bits, key.modulus)


def reference(bits: int, n: int) -> Iterator[dict[str, Any]]:
    """Yield r^n for each encryption and products one by one, in Python's integers."""
    square, some = n * n, 8
    bases = [pow(3 + at, 2 * bits, n) for at in range(some)]
    sent, line = measured(
        "encrypt.reference",
        bits,
        some,
        lambda: [(1 + at * n) * pow(base, n, square) % square for at, base in enumerate(bases)],
    )
    yield line
    many = 4096
    _, line = measured(
        "add.reference",
        bits,
        many,
        lambda: [sent[at % some] * sent[(at + 1) % some] % square for at in range(many)] and 0,
    )
    yield line
