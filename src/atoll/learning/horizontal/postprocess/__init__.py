"""What an update passes between a client's training and the aggregator's step."""
