"""Trained things as data: a party's part, its bytes, and scoring roles over a channel."""
