"""Boosted trees as data of which each party holds the whole: their form, bytes, predictions."""
