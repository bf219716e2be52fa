"""The words of the house: ids, errors, randomness, codec, limits, reveals, reports, settings."""
