"""``atoll client``: a light process that dials out and trains on a file of its own."""
