"""Additively homomorphic encryption of many numbers at once."""
