"""The small services: components, settings, and how the node does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from atoll import __version__
from atoll.channel.grpc.gateway import Gateway
from atoll.channel.identity import Identity
from atoll.flow.access import Actor
from atoll.flow.node.configuration import Configuration
from atoll.flow.node.doctor import certificates
from atoll.flow.node.jobs.admission import Slots
from atoll.flow.store import Database, Jobs
from atoll.flow.work.pool import Pool


class SettingsService:
    """The node's settings with their origins."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def list(self) -> Sequence[Mapping[str, Any]]:
        """Return every setting; passwords are hidden."""
        return [
            {
                "key": entry.key,
                "value": _plain(entry.value),
                "default": _plain(entry.default),
                "source": entry.origin,
                "description": entry.description,
            }
            for entry in self._configuration.all()
        ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


class StatusService:
    """How the node does, for people, probes and Prometheus."""

    def __init__(
        self,
        database: Database,
        pool: Pool,
        slots: Slots,
        gateway: Gateway,
        identity: Callable[[], Identity],
        selftest: Callable[[Sequence[str], Actor], Sequence[Mapping[str, Any]]],
    ) -> None:
        self._jobs = Jobs(database)
        self._database = database
        self._pool = pool
        self._slots = slots
        self._gateway = gateway
        self._identity = identity
        self._selftest = selftest
        self._started = time.time()
        self._ready = False

    def set_ready(self, is_ready: bool) -> None:
        """Return whether the node takes jobs."""
        self._ready = is_ready

    def ready(self) -> bool:
        """Return whether the node takes jobs."""
        return self._ready

    def view(self) -> Mapping[str, Any]:
        """Return party, times, counts, workers, partners, certificates; ``refused`` are connections
        and calls of partners and strangers since the start, by code.
        """
        identity = self._identity()
        waiting, holding = self._slots.counts()
        return {
            "party": identity.party,
            "version": __version__,
            "pid": os.getpid(),
            "started": self._started,
            "seconds": time.time() - self._started,
            "ready": self._ready,
            "gateway": self._gateway.address,
            "refused": self._gateway.counters()["refused"],
            "jobs": self._jobs.counts(),
            "queue": {"waiting": waiting, "running": holding},
            "workers": [
                {
                    "pid": w.pid,
                    "state": w.state,
                    "job": w.job,
                    "step": w.step,
                    "memory": w.memory,
                    "cpu_seconds": w.cpu_seconds,
                }
                for w in self._pool.facts()
            ],
            "partners": {name: {"address": peer.address} for name, peer in identity.peers.items()},
            "certificates": [
                {"state": finding.state, "message": finding.message, "hint": finding.hint}
                for finding in certificates(identity)
            ],
            "memory": own_memory(),
        }

    def gauges(self) -> Mapping[str, float]:
        """Return figures for Prometheus."""
        waiting, holding = self._slots.counts()
        found = {
            "atoll_jobs_waiting": float(waiting),
            "atoll_jobs_running": float(holding),
            "atoll_workers": float(len(self._pool.facts())),
            "atoll_database_commits": float(self._database.commits),
            "atoll_database_waiting": float(self._database.waiting),
            "atoll_memory_bytes": float(own_memory()),
        }
        for state, count in self._jobs.counts().items():
            found[f"atoll_jobs_{state.replace(' ', '_')}_total"] = float(count)
        days = [e.days_left for e in self._identity().expiries() if e.what == "node"]
        found["atoll_certificate_days_left"] = min(days, default=0.0)
        return found

    def selftest(self, parties: Sequence[str], actor: Actor) -> Sequence[Mapping[str, Any]]:
        """Run a small job with partners and return its steps."""
        return self._selftest(parties, actor)


def own_memory() -> int:
    """Return the resident bytes of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
