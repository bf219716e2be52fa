"""Vertical learning: the parties hold different columns of the same rows."""
