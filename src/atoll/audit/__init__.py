"""Attacks on our own protocols: what a reveal is worth to someone who wants to know more."""
