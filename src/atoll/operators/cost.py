"""The cost of an operator; declared as any other."""

from atoll.core.cost import EVERYONE, HEADER_BYTES, Cost, Edge

__all__ = ["EVERYONE", "HEADER_BYTES", "Cost", "Edge"]
