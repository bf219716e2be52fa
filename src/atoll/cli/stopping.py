"""Commands that run for long end in order when they are asked to."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_signals(act: Callable[[], None]) -> Iterator[None]:
    """Have SIGTERM and SIGINT call ``act`` meanwhile."""
    before = {
        number: signal.signal(number, lambda *_: act())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
