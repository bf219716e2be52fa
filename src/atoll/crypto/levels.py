"""What the native library is made of, and which instructions its kernels run on."""

from __future__ import annotations

import atoll_native


def simd_level() -> str:
    """Return the level in use: ``avx512``, ``avx2`` or ``portable``.

    Source: https://www.felixcloutier.com/x86/cpuid (what the processor states about itself).
    """
    return atoll_native.simd_level()


def source_digest() -> str:
    """Return the SHA-256 over the sources of the native library, stated when it was built.

    Source: docs/decisions/0031-commitments-and-code.md.
    """
    return atoll_native.source_digest()
