"""Checkpoints of the seats of a world over several attempts, for tests of restarts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from atoll.flow.work.checkpoints import FileCheckpoints
from atoll.flow.work.messages import RoundMark


class Kept:
    """The checkpoints of all seats over several attempts."""

    def __init__(self, folder: Path, seats: Iterable[str]) -> None:
        self._folder, self._seats = folder, tuple(seats)
        self._attempt = 0

    def attempt(self) -> dict[str, FileCheckpoints]:
        """Return them for one more attempt, at the newest round that all hold."""
        stores = {name: FileCheckpoints(self._folder, name, ("plan",)) for name in self._seats}
        held: set[RoundMark] = set.intersection(*(set(s.held()) for s in stores.values()))
        self._attempt += 1
        for store in stores.values():
            store.enter(max(held, default=None), bytes([self._attempt]) * 32)
        return stores
