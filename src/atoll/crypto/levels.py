"""Which instructions the kernels run on."""

from __future__ import annotations

import atoll_native


def simd_level() -> str:
    """Return the level in use: ``avx512``, ``avx2`` or ``portable``.

    Source: https://www.felixcloutier.com/x86/cpuid (what the processor states about itself).
    """
    return atoll_native.simd_level()
