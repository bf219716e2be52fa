"""Showing reports to people: one static page for now."""
