"""Which jobs a partner may not know all of, so that a long queue is not searched for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from atoll.flow.control import JobRecord, PeerSync

PROBES = 64
_PROBE_SECONDS = 1.0


class PendingSync:
    """Jobs by partner, in the order in which they were noted. Not for several threads at once."""

    def __init__(self) -> None:
        self._probed: dict[str, tuple[int, float]] = {}
        self._jobs: dict[str, dict[str, None]] = {}

    def note(self, record: JobRecord) -> None:
        """Note that the own facts of a job changed, or that it is at hand again."""
        for peer in record.peers:
            self.again(peer, (record.id,))

    def again(self, peer: str, jobs: Iterable[str]) -> None:
        """Note that a partner sent what it holds of these jobs: it may be less than before."""
        self._jobs.setdefault(peer, {}).update(dict.fromkeys(jobs))

    def of(self, exchange: PeerSync, records: Mapping[str, JobRecord]) -> list[JobRecord]:
        """Return the records of which a partner does not hold all own facts."""
        jobs = self._jobs.setdefault(exchange.peer, {})
        found: list[JobRecord] = []
        for job in list(jobs):
            record = records.get(job)
            if record is None or exchange.peer not in record.peers or exchange.settled(record):
                del jobs[job]
            else:
                found.append(record)
        return found

    def probes(self, peer: str, records: Mapping[str, JobRecord], now: float) -> dict[str, int]:
        """Return for some live jobs, others each time, which facts of a partner are held.

        Now and then: these are for what was forgotten, and a busy node syncs many times a second.
        """
        first, moment = self._probed.get(peer, (0, now - _PROBE_SECONDS))
        if now - moment < _PROBE_SECONDS:
            return {}
        live = [j for j, r in records.items() if r.end is None and peer in r.job.parties]
        first %= max(len(live), 1)
        self._probed[peer] = (first + PROBES, now)
        chosen = (live[first:] + live[:first])[:PROBES]
        return {job: records[job].held(peer) for job in chosen}
