"""Real nodes of several parties in one process, for a person or a simulation."""
