"""Differential privacy: mechanisms that draw integers."""
