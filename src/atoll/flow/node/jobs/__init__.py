"""A node's jobs: the control thread, what it has done, syncing with partners, the service."""
