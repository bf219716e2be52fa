"""Measurements; ``./do bench AREA`` runs one."""
