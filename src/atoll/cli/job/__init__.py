"""``atoll job``: jobs of a node, and jobs that a party runs by hand."""
