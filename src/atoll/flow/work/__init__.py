"""Tasks in worker processes: what a worker is told, does and reports, and the pool that has them.

pool = Pool(PoolSettings(folder))
worker = pool.lease(job_id)
worker.submit(TaskSpec(…), on_event)
"""

from atoll.flow.work.handle import Worker, WorkerFacts
from atoll.flow.work.pool import Pool, PoolSettings
from atoll.flow.work.specification import Gateway, InputArtifact, OwnTable, TaskLimits, TaskSpec
from atoll.flow.work.told import TERMINAL, TaskEvent

__all__ = [
    "TERMINAL",
    "Gateway",
    "InputArtifact",
    "OwnTable",
    "Pool",
    "PoolSettings",
    "TaskEvent",
    "TaskLimits",
    "TaskSpec",
    "Worker",
    "WorkerFacts",
]
