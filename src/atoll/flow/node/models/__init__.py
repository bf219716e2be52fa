"""A node's models: registry, signed archives, predict jobs."""
