"""``python -m tests.fuzz.run READER [libFuzzer's options]``: a reader under atheris.

It starts from the reader's corpus and keeps what it finds in a folder of its own. A fault, a second
of time, or more memory than four times what a reader states ends it and leaves the input in a file.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from pathlib import Path

import atheris

# What reads; all that these import would take a minute more.
_READING = (
    "core", "jobs", "models", "channel.identity", "flow.control", "flow.api.body",
    "flow.node.jobs.declaring", "flow.node.models.archive", "flow.node.partners",
    "flow.node.standing",
)  # fmt: skip

with atheris.instrument_imports(include=[*(f"atoll.{part}" for part in _READING), "tests.fuzz"]):
    from tests.fuzz import readers
    from tests.fuzz.bounds import CORPORA, SECONDS, allowed


def measured(name: str, data: bytes) -> tuple[int, float]:
    """Return the bytes and the processor's seconds that a reader takes for an input."""
    tracemalloc.reset_peak()
    before, started = tracemalloc.get_traced_memory()[0], time.process_time()
    readers.read(name, data)
    took = time.process_time() - started
    return tracemalloc.get_traced_memory()[1] - before, took


def main() -> None:
    """Fuzz the reader that the command line names."""
    name = sys.argv.pop(1)
    corpus = [path.read_bytes() for path in sorted((CORPORA / name).iterdir())]
    for data in corpus:
        # What is made once (adapters, caches) is no input's fault.
        readers.read(name, data)
    tracemalloc.start(1)

    def one(data: bytes) -> None:
        held, took = measured(name, data)
        if held > allowed(name, len(data)) or took > SECONDS:
            # The interpreter moves its table of interned keys now and then (2 MB), and other
            # programs take the processor: what an input costs, it costs each time.
            again, later = measured(name, data)
            held, took = min(held, again), min(took, later)
        if held > allowed(name, len(data)):
            raise MemoryError(f"{held} bytes for an input of {len(data)}")
        if took > SECONDS:
            raise TimeoutError(f"{took:.1f} s for an input of {len(data)} bytes")

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    assert Path("tests/fuzz").is_dir(), "start it at the root of the checkout"
    main()
