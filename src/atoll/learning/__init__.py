"""Learning algorithms on tables that stay at home."""
