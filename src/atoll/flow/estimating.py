"""About how long a plan takes, by the bytes that its steps move: for people, not signed."""

from __future__ import annotations

from atoll.crypto.levels import simd_level
from atoll.jobs.plan import Plan

# Bytes that one party gets through in a second, as measured on one core of a cloud machine
# (docs/reference/bench.md): intersecting 100,000 ids moves 8.4 MB in 0.9 s, training on 100,000
# rows and ten trees 192 MB in 6.3 s; with AVX2 about five times as long.
_RATES = {
    "avx512": {"psi.": 10e6, "boosting.": 30e6},
    "avx2": {"psi.": 2.1e6, "boosting.": 5e6},
    "portable": {"psi.": 1e6, "boosting.": 2.5e6},
}
_PLAIN = 100e6
# Starting a task at both parties, and agreeing before the first.
STEP_SECONDS = 0.15
AGREEMENT_SECONDS = 0.3


def estimated_seconds(plan: Plan) -> dict[str, float]:
    """Return about how many seconds each step takes on machines like this one, network aside."""
    rates = _RATES.get(simd_level(), _RATES["portable"])
    found: dict[str, float] = {}
    for step, size in plan.estimated_bytes.items():
        how = plan.implementations.get(step, "")
        prefix = next((p for p in rates if how.startswith(p)), None)
        rate = rates[prefix] if prefix is not None else _PLAIN
        found[step] = round(STEP_SECONDS + size / rate, 2)
    return found


def estimated_total(plan: Plan) -> float:
    """Return about how many seconds the whole job takes if its steps run one after the other."""
    return round(AGREEMENT_SECONDS + STEP_SECONDS + sum(estimated_seconds(plan).values()), 1)
