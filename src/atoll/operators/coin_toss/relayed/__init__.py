"""Coin toss by commit and reveal, through a hub that passes on all messages."""
