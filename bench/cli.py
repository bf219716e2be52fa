"""How long the command line takes to say something: ``cli.help`` is `atoll --help`.

Its reference is the start of a bare interpreter in the same run, in turns, so that both meet the
same load; ``ratio`` is one over the other, of the least times.
"""

from __future__ import annotations

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
    ratio = min(helped) / min(bare)
    yield _line("help", helped) | {"ratio": ratio}
    yield _line("help.reference", bare)


def _seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _line(name: str, taken: list[float]) -> dict[str, Any]:
    params = {"runs": len(taken), "least": min(taken)}
    return {
        "name": f"cli.{name}",
        "params": params,
        "seconds": statistics.median(taken),
        "load": load(),
    }
