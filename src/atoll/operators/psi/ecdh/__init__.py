"""Intersection by doubly masked points of curve25519, size first."""
