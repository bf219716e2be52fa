"""What every measurement shares: its options, the fields of a line, the machine."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FIELDS = (
    "name",
    "params",
    "seconds",
    "cpu_seconds",
    "bytes",
    "bytes_by_direction",
    "rounds",
    "rate",
    "peak_memory",
    "floor_ratio",
)


@dataclass(frozen=True)
class Options:
    """Sizes from the command line; None leaves the area's own default."""

    rows: int | None = None
    guest_columns: int | None = None
    host_columns: int | None = None
    trees: int | None = None
    depth: int | None = None
    bins: int | None = None
    minimum_rows: int | None = None
    protocol: str | None = None
    peer: str | None = None


def complete(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a measurement with every field, in order; what does not apply is None."""
    whole = {field: line.get(field) for field in FIELDS}
    whole |= {key: value for key, value in line.items() if key not in whole}
    return whole | {"commit": commit(), "machine": machine()}


@functools.cache
def commit() -> str | None:
    """Return the commit that is measured, with ``+`` when files differ from it."""
    try:
        git = functools.partial(
            subprocess.run, cwd=ROOT, check=True, capture_output=True, text=True
        )
        head = git(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip()
        changed = git(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+" if changed else head


@functools.cache
def machine() -> dict[str, Any]:
    """Return the cores that may be used, the lanes in use and the processor.

    ``family`` and ``model`` are the numbers of x86 processors, since a cloud may call all of them
    "AMD EPYC": family 25 is Zen 3 (model 1) or Zen 4 (models 17, 160), family 26 Zen 5.
    """
    return {"cores": len(os.sched_getaffinity(0)), "lanes": lanes(), **_processor()}


def lanes() -> str | None:
    """Return the instruction level that kernels run on, as the native core chose it."""
    import atoll_native

    current = getattr(atoll_native, "simd_level", None)
    return None if current is None else str(current())


def _processor() -> dict[str, Any]:
    information = Path("/proc/cpuinfo")
    return processor(information.read_text() if information.exists() else "")


def processor(information: str) -> dict[str, Any]:
    """Return name, family and model of the first processor of a ``/proc/cpuinfo``, where given."""
    first = information.split("\n\n", 1)[0]
    fields = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in first.splitlines())
    }
    name = fields.get("model name") or platform.processor() or platform.machine()
    numbers = (fields.get(key, "") for key in ("cpu family", "model"))
    family, model = (int(text) if text.isdecimal() else None for text in numbers)
    return {"processor": name, "family": family, "model": model}


def not_run(area: str) -> Iterator[dict[str, Any]]:
    """Yield a line for each kind of host that this is not."""
    for level, kind in (("avx512", "an AVX-512"), ("avx2", "an AVX2-only")):
        if lanes() != level:
            reason = f"not run on {kind} host: none is at hand; tests cover its logic by emulation"
            yield complete({"name": area, "params": {"lanes": level}}) | {"not_run": reason}
