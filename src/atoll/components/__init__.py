"""Algorithms as steps of a job: each binds a parameter class, an entry and what it declares."""
