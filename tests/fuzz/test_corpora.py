"""Every input of the corpora, by its reader: as fuzzers found it, so that it stays mended."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from atoll.core.errors import AtollError
from tests.fuzz import readers
from tests.fuzz.bounds import CORPORA, SECONDS, allowed


@pytest.mark.parametrize("name", readers.READERS)
def test_every_input_is_read_or_refused_within_bounds(name: str) -> None:
    inputs = sorted((CORPORA / name).iterdir())
    assert inputs
    for path in inputs:
        # What is made once (adapters, caches) is no input's fault.
        readers.read(name, path.read_bytes())
    tracemalloc.start(1)
    try:
        for path in inputs:
            data = path.read_bytes()
            tracemalloc.reset_peak()
            before, started = tracemalloc.get_traced_memory()[0], time.process_time()
            readers.read(name, data)
            held = tracemalloc.get_traced_memory()[1] - before
            assert held <= allowed(name, len(data)), path
            # Of the processor, and with every allocation traced.
            assert time.process_time() - started < 5 * SECONDS, path
    finally:
        tracemalloc.stop()


def test_real_inputs_are_accepted() -> None:
    """A corpus of refused inputs alone would exercise little."""
    for name, reader in readers.READERS.items():
        accepted = 0
        for path in (CORPORA / name).iterdir():
            try:
                reader(path.read_bytes())
            except AtollError:
                continue
            accepted += 1
        assert accepted, name
