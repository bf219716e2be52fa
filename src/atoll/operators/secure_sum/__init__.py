"""The secure sum: an aggregator learns the sum of vectors and none of them."""
