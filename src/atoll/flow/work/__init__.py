"""Tasks in worker processes: what a worker gets, does and reports, and the pool that has them.

    pool = Pool(PoolSettings(folder))          # work.pool
    worker = pool.lease(job_id)                # work.handle
    worker.submit(TaskSpec(…), on_event)       # work.specification, work.task_events

A worker imports this package before anything else, so it imports nothing itself.
"""
