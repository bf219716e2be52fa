"""The node's HTTP API: one router a resource, one table of permissions, errors with codes."""
