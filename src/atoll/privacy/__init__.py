"""Differential privacy: mechanisms that draw integers, and what they cost in ε and δ."""
