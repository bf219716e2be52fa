"""``atoll job``: jobs of a node."""
