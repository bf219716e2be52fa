"""The aggregator's side of a population: its folder, its members, its server, its training.

A population is served by a process of its own, beside the node of its party
(docs/decisions/0036-populations.md).
"""
