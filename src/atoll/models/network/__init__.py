"""Linear models and small networks as data: what they are, their weights, their predictions.

Every party of their training holds the whole model, so each scores its own rows alone.
"""
