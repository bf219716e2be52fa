"""One federation for all fits and predictions in this process: its nodes start once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from atoll.components.catalogue import CATALOGUE
from atoll.sdk.federation import Federation

# What jobs leave lies in the nodes' folders until they are closed: so it does not grow for long.
_RUNS = 20
_LOCK = threading.Lock()


class _Open:
    """The federation that is open, of which process and roles, and how often it was used."""

    federation: Federation | None = None
    key: tuple[object, ...] = ()
    runs = 0


_OPEN = _Open()


@contextmanager
def shared(roles: Mapping[str, str]) -> Iterator[Federation]:
    """Give a federation of these parties to one caller at a time.

    Its components live in this process, and it stays open for the next caller with the same roles.
    Errors: those of ``Federation``.
    """
    key = (os.getpid(), *sorted(roles.items()))
    with _LOCK:
        if _OPEN.federation is None or _OPEN.key != key or _OPEN.runs >= _RUNS:
            if _OPEN.federation is not None:
                _OPEN.federation.close()
            _OPEN.federation = Federation(roles, catalogue=CATALOGUE)
            _OPEN.key, _OPEN.runs = key, 0
        _OPEN.runs += 1
        yield _OPEN.federation
