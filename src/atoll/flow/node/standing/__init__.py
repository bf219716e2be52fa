"""Standing agreements at a node: what was agreed, what was used of it, and sessions that serve."""
