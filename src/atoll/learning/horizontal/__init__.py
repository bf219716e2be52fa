"""Horizontal learning: many owners hold rows with the same columns.

``algorithm`` states what a client computes, what is summed and what the aggregator does with the
sum; ``training`` is the loop around it; ``postprocess`` is the chain an update passes on its way.
The same objects run in a simulation, over nodes and over outbound clients.
"""
