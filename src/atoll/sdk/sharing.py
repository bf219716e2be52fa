"""One federation for all fits and predictions in this process: its nodes start once."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from atoll.components.catalogue import CATALOGUE
from atoll.sdk.federation import Federation

# What jobs leave lies in the nodes' folders until they are closed: so it does not grow for long.
_RUNS = 20
_LOCK = threading.Lock()


class _Held:
    """The federation that is open, of which process and roles, and how often it was used."""

    federation: Federation | None = None
    key: tuple[object, ...] = ()
    runs = 0

    def close(self) -> None:
        """Close the federation, unless it is that of a process which this one split off."""
        if self.federation is not None and self.key[0] == os.getpid():
            self.federation.close()
        self.federation = None


_HELD = _Held()
atexit.register(_HELD.close)


@contextmanager
def shared(roles: Mapping[str, str]) -> Iterator[Federation]:
    """Give a federation of these parties to one caller at a time.

    Its components live in this process, and it stays open for the next caller with the same roles.
    Errors: those of ``Federation``.
    """
    key = (os.getpid(), *sorted(roles.items()))
    with _LOCK:
        if _HELD.federation is None or _HELD.key != key or _HELD.runs >= _RUNS:
            _HELD.close()
            _HELD.federation = Federation(roles, catalogue=CATALOGUE)
            _HELD.key, _HELD.runs = key, 0
        _HELD.runs += 1
        yield _HELD.federation
