"""Running a job as one party: agreement, steps, ledger, outputs, and the worker process."""
