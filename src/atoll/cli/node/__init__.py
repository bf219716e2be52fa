"""Commands that make, start, stop and examine this machine's node."""
