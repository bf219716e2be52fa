"""A node's partners: one-time codes, trust, certificates."""
