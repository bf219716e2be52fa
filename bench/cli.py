"""How long the command line takes to print something: ``cli.help`` is `atoll --help`.

Its reference is the start of a bare interpreter in the same run, in turns, so that both meet the
same load; ``ratio`` is one over the other in processor time, which other programs disturb least.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.harness import Options
from bench.nodes import load

RUNS = 15


def run(options: Options) -> Iterator[dict[str, Any]]:
    """Yield the help's line and the bare interpreter's; ``--rows`` sets how many starts."""
    helped, bare = [], []
    command = [str(Path(sys.executable).with_name("atoll")), "--help"]
    for _ in range(options.rows or RUNS):
        helped.append(_seconds(command))
        bare.append(_seconds([sys.executable, "-c", "pass"]))
    line = _line("help", helped)
    reference = _line("help.reference", bare)
    yield line | {"ratio": line["cpu_seconds"] / reference["cpu_seconds"]}
    yield reference


def _seconds(command: list[str]) -> tuple[float, float]:
    """Return wall and processor seconds of a command."""
    spent, start = _children(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start, _children() - spent


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _line(name: str, taken: list[tuple[float, float]]) -> dict[str, Any]:
    walls = [wall for wall, _ in taken]
    params = {"runs": len(taken), "least": min(walls)}
    return {
        "name": f"cli.{name}",
        "params": params,
        "seconds": statistics.median(walls),
        "cpu_seconds": statistics.median(spent for _, spent in taken),
        "load": load(),
    }
