"""A node's tables: registered, checked in a process of its own, found for jobs."""
