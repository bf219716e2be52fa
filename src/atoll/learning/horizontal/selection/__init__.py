"""Who takes part: one file for each way to draw few clients out of many."""
