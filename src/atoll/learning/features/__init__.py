"""What is done to columns before training."""
