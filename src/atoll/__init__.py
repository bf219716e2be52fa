"""Atoll: federated learning in which no row leaves home."""

__version__ = "0.1.0"
