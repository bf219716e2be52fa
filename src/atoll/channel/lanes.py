"""Parallel lanes: several conversations of one party at once, each on its own thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TypeVar

from atoll.channel.party import Cancel, Party

T = TypeVar("T")


def _attend(party: Party, count: int) -> Callable[[], None]:
    # Only the memory transport keeps count of threads, for its virtual time.
    found = getattr(party.channel.transport, "lanes", None)
    ended: Callable[[], None] = found(count) if found is not None else lambda: None
    return ended


def together(party: Party, work: Mapping[str, Callable[[Party], T]]) -> dict[str, T]:
    """Run each piece of work on a lane of its own name and return the results by name.

    The first error is raised as soon as every lane has ended; lanes end by themselves because
    their cancel flag is set and every wait has a deadline.
    """
    if len(work) <= 1:
        return {name: piece(party.at(name)) for name, piece in work.items()}
    ended = _attend(party, len(work))
    # Their own flag: lanes that end each other do not make the party's task a cancelled one.
    cancel = Cancel(party.cancel)
    lane = replace(party, cancel=cancel)

    def run(name: str, piece: Callable[[Party], T]) -> T:
        try:
            return piece(lane.at(name))
        finally:
            ended()

    with ThreadPoolExecutor(max_workers=len(work)) as pool:
        futures = {name: pool.submit(run, name, piece) for name, piece in work.items()}
        done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
        failed = next((f for f in done if f.exception() is not None), None)
        if failed is not None:
            cancel.request()
            failed.result()
        return {name: future.result() for name, future in futures.items()}
