"""What a task used: seconds, processor time and the most memory at once."""

from __future__ import annotations

import contextlib
import resource
import time
from pathlib import Path
from typing import Any

_KIB = 1024


class Use:
    """Measures from its making on."""

    def __init__(self) -> None:
        # On Linux this makes the high-water mark start afresh; elsewhere it is the process's.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._started = time.monotonic()
        self._cpu = time.process_time()

    def to_dict(self) -> dict[str, Any]:
        """Return seconds, cpu_seconds and peak_memory (bytes)."""
        return {
            "seconds": round(time.monotonic() - self._started, 6),
            "cpu_seconds": round(time.process_time() - self._cpu, 6),
            "peak_memory": _peak(),
        }


def _peak() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * _KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
