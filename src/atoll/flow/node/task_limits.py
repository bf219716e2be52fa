"""The limits that the settings set to each task."""

from __future__ import annotations

from atoll.flow.node.settings import GatewaySection, WorkersSection
from atoll.flow.work.specification import TaskLimits


def task_limits(gateway: GatewaySection, workers: WorkersSection) -> TaskLimits:
    """Return how long a task waits for what, and its threads."""
    return TaskLimits(
        receive_seconds=workers.receive_seconds,
        silence_seconds=gateway.silence_seconds,
        connect_seconds=gateway.connect_seconds,
        heartbeat_seconds=gateway.heartbeat_seconds,
        threads=workers.threads,
    )
