"""Figures for Prometheus: requests by place and status, and the node's own gauges."""

from __future__ import annotations

import re
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from atoll.flow.api.exchange import HttpExchange

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,99}")
_BUCKETS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)


class Figures:
    """A registry of this app alone; nothing global is counted."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "atoll_http_requests",
            "requests by operation and status",
            ("operation", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "atoll_http_seconds",
            "seconds from request to end of answer",
            ("operation",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._received = Counter(
            "atoll_http_received_bytes", "bytes of bodies received", registry=self._registry
        )
        self._sent = Counter(
            "atoll_http_sent_bytes", "bytes of bodies sent", registry=self._registry
        )

    def count(self, exchange: HttpExchange, seconds: float) -> None:
        """Count an answered request; addresses that do not exist count together."""
        operation = exchange.operation or "none"
        self._requests.labels(operation, str(exchange.status)).inc()
        self._seconds.labels(operation).observe(seconds)
        self._received.inc(exchange.received)
        self._sent.inc(exchange.sent)

    def text(self, gauges: Mapping[str, float]) -> bytes:
        """Return everything in Prometheus' text form, with the node's gauges of now."""
        own = CollectorRegistry()
        for name, value in gauges.items():
            if _NAME.fullmatch(name):
                Gauge(name, name.replace("_", " "), registry=own).set(value)
        return bytes(generate_latest(self._registry) + generate_latest(own))
