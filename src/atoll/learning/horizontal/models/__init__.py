"""Models on NumPy alone: what is trained by gradients, over one flat vector of weights."""
