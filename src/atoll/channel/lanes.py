"""Parallel lanes: several conversations of one party at once, each on its own thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from atoll.channel.party import Party

T = TypeVar("T")


def _context(party: Party, name: str) -> AbstractContextManager[Any]:
    # Only the memory transport keeps count of threads, for its virtual time.
    found = getattr(party.channel.transport, name, None)
    return found() if found is not None else nullcontext()


def together(party: Party, work: Mapping[str, Callable[[Party], T]]) -> dict[str, T]:
    """Run each piece of work on a lane of its own name and return the results by name.

    The first error is raised as soon as it happens in any lane, after cancelling what has not
    begun; lanes end by themselves because every wait has a deadline.
    """
    if len(work) <= 1:
        return {name: piece(party.at(name)) for name, piece in work.items()}

    def run(name: str, piece: Callable[[Party], T]) -> T:
        with _context(party, "lane"):
            return piece(party.at(name))

    with ThreadPoolExecutor(max_workers=len(work)) as pool, _context(party, "parked"):
        futures = {name: pool.submit(run, name, piece) for name, piece in work.items()}
        done, pending = wait(futures.values(), return_when=FIRST_EXCEPTION)
        failed = next((f for f in done if f.exception() is not None), None)
        if failed is not None:
            party.cancel.request()
            for future in pending:
                future.cancel()
            failed.result()
        return {name: future.result() for name, future in futures.items()}
