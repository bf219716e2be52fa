"""The secure sum by pairwise masks (Bonawitz et al. 2017, active variant)."""
