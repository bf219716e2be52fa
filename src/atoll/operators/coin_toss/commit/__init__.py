"""Coin toss by commit and reveal."""
