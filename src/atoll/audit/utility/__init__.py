"""What privacy, bytes and time are worth in accuracy: measured curves, on a page or as text."""
