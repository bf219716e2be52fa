"""Linear models and fully connected networks as data: what they are, their weights, predictions.

Every party of their training holds the whole model, so each scores its own rows alone.
"""
