"""Histogram sums under EC-ElGamal: the guest encrypts, hosts add, the guest decrypts."""
